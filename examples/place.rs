use moodshader::{
    model::{Network, checkpoint::Normalization, preset::Preset},
    plan::*,
};
use std::collections::HashMap;
#[derive(Clone, Copy)]
struct L {
    f: usize,
    l: usize,
}
fn ov(a: L, b: L) -> bool {
    a.f <= b.l && b.f <= a.l
}
struct P {
    id: usize,
    life: L,
    s: usize,
    e: usize,
}
fn fit(a: &[P], life: L, len: usize) -> usize {
    let mut b: Vec<_> = a.iter().filter(|p| ov(p.life, life)).map(|p| (p.s, p.e)).collect();
    b.sort();
    let mut s = 0;
    for (f, t) in b {
        if s + len <= f {
            break;
        }
        s = s.max(t);
    }
    s
}
fn best_fit(a: &[P], life: L, len: usize) -> usize {
    let mut b: Vec<_> = a.iter().filter(|p| ov(p.life, life)).map(|p| (p.s, p.e)).collect();
    b.sort();
    let mut s = 0;
    let mut best: Option<(usize, usize)> = None;
    for (f, t) in b {
        if f > s && f - s >= len {
            let gap = f - s;
            if best.is_none_or(|x| gap < x.0) {
                best = Some((gap, s))
            }
        }
        s = s.max(t);
    }
    best.map_or(s, |x| x.1)
}
fn place(ids: &[(usize, usize, L)], foes: &HashMap<usize, Vec<usize>>, mode: usize) -> Vec<usize> {
    let mut ar: Vec<Vec<P>> = vec![];
    for &(id, len, life) in ids {
        let en = foes.get(&id).map_or(&[][..], |v| &v[..]);
        let mut best = None;
        for (i, a) in ar.iter().enumerate() {
            if a.iter().any(|p| en.contains(&p.id)) {
                continue;
            }
            let s = if mode & 1 == 0 { fit(a, life, len) } else { best_fit(a, life, len) };
            let b = a.iter().map(|p| p.e).max().unwrap_or(0);
            let af = b.max(s + len);
            let k = (af - b, i, s);
            if best.is_none_or(|x| k < x) {
                best = Some(k)
            }
        }
        let (i, s) = best.map_or((ar.len(), 0), |x| (x.1, x.2));
        // a new arena if growth is as large and few arenas
        if i == ar.len() {
            ar.push(vec![]);
        }
        ar[i].push(P { id, life, s, e: s + len });
    }
    ar.iter().map(|a| a.iter().map(|p| p.e).max().unwrap()).collect()
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let batch: usize = a[2].parse().unwrap();
    let preset = Preset::named(&a[1]).unwrap();
    let net = Network::new(
        &preset,
        Normalization {
            mean: -20.,
            std: 15.,
            handcrafted: preset.model.handcrafted.as_ref().map(|_| {
                moodshader::model::checkpoint::HandcraftedNormalization {
                    mean: [0.; 6],
                    std: [1.; 6],
                }
            }),
        },
    );
    let plan = net.training(batch).plan;
    let mut life: HashMap<usize, L> = HashMap::new();
    let mut foes: HashMap<usize, Vec<usize>> = HashMap::new();
    for (i, s) in plan.steps().iter().enumerate() {
        let u: Vec<_> = s.uses().map(|(id, ac)| (plan.root(id).0.index(), ac)).collect();
        for &(id, ac) in &u {
            let e = life.entry(id).or_insert(L { f: i, l: i });
            e.l = i;
            for &(o, oa) in &u {
                if ac.reads() != oa.reads() {
                    foes.entry(id).or_default().push(o);
                }
            }
        }
    }
    let mut ids: Vec<_> = plan
        .tensors()
        .iter()
        .enumerate()
        .filter(|(i, t)| matches!(t.home, Home::Scratch) && life.contains_key(i))
        .map(|(i, t)| (i, t.length.next_multiple_of(64), life[&i]))
        .collect();
    let live = (0..plan.steps().len())
        .map(|i| ids.iter().filter(|x| x.2.f <= i && i <= x.2.l).map(|x| x.1).sum::<usize>())
        .max()
        .unwrap();
    let mb = |n: usize| n as f64 / 262144.;
    println!("live {:.1}", mb(live));
    for mode in 0..2 {
        for ord in 0..6 {
            match ord {
                0 => ids.sort_by_key(|x| (usize::MAX - x.1, x.0)),
                1 => ids.sort_by_key(|x| (usize::MAX - x.1 * (x.2.l - x.2.f + 1), x.0)),
                2 => ids.sort_by_key(|x| (x.2.f, x.0)),
                3 => ids.sort_by_key(|x| (usize::MAX - (x.2.l - x.2.f), usize::MAX - x.1, x.0)),
                4 => ids.sort_by_key(|x| {
                    (usize::MAX - (x.1 as f64).sqrt() as usize * (x.2.l - x.2.f + 1), x.0)
                }),
                _ => ids.sort_by_key(|x| {
                    (usize::MAX - (x.1 as f64 * ((x.2.l - x.2.f + 1) as f64).sqrt()) as usize, x.0)
                }),
            };
            let t = std::time::Instant::now();
            let r = place(&ids, &foes, mode);
            println!(
                "mode {mode} order {ord}: {:.1} {:?} {:.1} ms",
                mb(r.iter().sum()),
                r.iter().map(|&x| mb(x) as u32).collect::<Vec<_>>(),
                t.elapsed().as_secs_f64() * 1e3
            );
        }
    }
    // local search
    let mut seed = 1u64;
    let mut rnd = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    ids.sort_by_key(|x| (usize::MAX - x.1, x.0));
    let mut best = place(&ids, &foes, 0).iter().sum::<usize>();
    let n = ids.len();
    let t = std::time::Instant::now();
    for k in 0..4000 {
        let i = (rnd() as usize) % 40.min(n);
        let j = (rnd() as usize) % 40.min(n);
        let mut c = ids.clone();
        let x = c.remove(i);
        c.insert(j, x);
        let s = place(&c, &foes, 0).iter().sum::<usize>();
        if s <= best {
            if s < best {
                println!("search {k}: {:.1} {:.0} ms", mb(s), t.elapsed().as_secs_f64() * 1e3);
            }
            best = s;
            ids = c;
        }
    }
    println!("{:?}", place(&ids, &foes, 0).iter().map(|&x| mb(x) as u32).collect::<Vec<_>>());
}
