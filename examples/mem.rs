use moodshader::{
    model::{Network, checkpoint::Normalization, preset::Preset},
    plan::*,
};
use std::collections::HashMap;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let batch: usize = a[2].parse().unwrap();
    let preset = Preset::named(&a[1]).unwrap();
    let net = Network::new(&preset, Normalization { mean: -20., std: 15., handcrafted: None });
    let p = net.training(batch);
    let plan = p.plan;
    let pl = Placement::new(&plan, 2047 << 18, &HashMap::new());
    let mut tot = 0;
    for (n, l) in pl.arenas() {
        println!("{n:?} {:.1} MiB", l as f64 / 262144.);
        tot += l;
    }
    println!("arenas {:.1} MiB", tot as f64 / 262144.);
    {
        let inf = net.inference(batch).plan;
        let pl = Placement::new(&inf, 2047 << 18, &HashMap::new());
        let mut t = 0;
        for (n, l) in pl.arenas() {
            println!("inference {n:?} {:.1} MiB", l as f64 / 262144.);
            t += l;
        }
        println!("inference arenas {:.1} MiB", t as f64 / 262144.);
    }
    {
        let mut m = std::collections::BTreeMap::new();
        for p in [net.training(32), net.training(31), net.inference(32), net.inference(16)] {
            let pl = Placement::new(&p.plan, 2047 << 18, &HashMap::new());
            for (n, l) in pl.arenas() {
                let e = m.entry(n).or_insert(0);
                *e = l.max(*e);
            }
        }
        println!("union {m:?} {:.1}", m.values().sum::<usize>() as f64 / 262144.);
    }
    let mut life: HashMap<TensorId, (usize, usize)> = HashMap::new();
    for (i, s) in plan.steps().iter().enumerate() {
        for (id, _) in s.uses() {
            let r = plan.root(id).0;
            let e = life.entry(r).or_insert((i, i));
            e.1 = i;
        }
    }
    let mut best = (0, 0);
    for i in 0..plan.steps().len() {
        let live: usize = life
            .iter()
            .filter(|(id, l)| {
                l.0 <= i && i <= l.1 && matches!(plan.tensor(**id).home, Home::Scratch)
            })
            .map(|(id, _)| plan.tensor(*id).length)
            .sum();
        if live > best.0 {
            best = (live, i)
        }
        if a.len() > 3 {
            println!("{i} {} {:.1}", plan.steps()[i].kernel.id(), live as f64 / 262144.);
        }
    }
    println!(
        "peak live scratch {:.1} MiB at step {} {}",
        best.0 as f64 / 262144.,
        best.1,
        plan.steps()[best.1].kernel.id()
    );
    let mut v: Vec<_> = life
        .iter()
        .filter(|(_, l)| l.0 <= best.1 && best.1 <= l.1)
        .map(|(id, l)| (plan.tensor(*id).length, plan.tensor(*id).name.clone(), *l))
        .collect();
    v.sort();
    v.reverse();
    for (n, name, l) in v.iter().take(30) {
        println!("{:8.1} {name} {l:?}", *n as f64 / 262144.);
    }
}
