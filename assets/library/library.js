"use strict";
(() => {
// What the page holds: a column a property, see src/report/library/data.rs.
const data = JSON.parse(document.getElementById("library-data").textContent);
const songs = data.paths.length;
const labels = data.labels.length;
const part = id => document.getElementById(id);
const numbers = new Intl.NumberFormat("en").format;
const grouped = number => numbers(number).replaceAll(",", "\u00a0");
const counted = number => grouped(number) + (number === 1 ? " song" : " songs");

/// An element with text in it; text is never read as markup.
const made = (name, text = "", kind = "") => {
    const element = document.createElement(name);
    element.textContent = text;
    element.className = kind;
    return element;
};

// Songs ------------------------------------------------------------------------------------------

const fileOf = song => data.paths[song].slice(data.paths[song].lastIndexOf(data.separator) + 1);
const nameOf = song => data.titles[song] ?? fileOf(song);
const artistOf = song => data.artists[song] ?? "";
const chanceOf = (song, label) => data.probabilities[song * labels + label];
const tagsOf = song => data.tags[song].map(tag => data.labels[tag]).join(", ");
const percent = thousandths => Math.round(thousandths / 10) + "\u00a0%";

const lengthOf = song => {
    const two = number => String(number).padStart(2, "0");
    const seconds = data.seconds[song];
    const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
    return (hours ? `${hours}:${two(minutes)}` : minutes) + ":" + two(seconds % 60);
};

/// Letters as people type them: without case and accents.
const plain = text => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

// Filter and order -------------------------------------------------------------------------------

const state = {
    words: [],
    tags: new Set(),
    key: "title",
    // The mood whose probability has a column.
    mood: 0,
    descending: false,
    playing: -1,
    // Songs of the list, in its order.
    shown: [],
};
// By song: is it in the list? The map draws the others faintly.
const isShown = new Uint8Array(songs);

// Made on first use, since it takes a while with many songs: it must not hold up the page.
let haystack = null;
const makeHaystack = () => {
    const text = (_, song) =>
        plain(`${data.titles[song] ?? ""}\n${artistOf(song)}\n${data.paths[song]}`);
    return Array.from({ length: songs }, text);
};

const fits = song =>
    [...state.tags].every(tag => data.tags[song].includes(tag)) &&
    state.words.every(word => haystack[song].includes(word));

const byText = new Intl.Collator(undefined, { numeric: true }).compare;
// Orders by text are kept: comparing as people sort takes long.
const textOrders = {};
const orderByText = (key, text) => {
    if (!textOrders[key]) {
        const texts = Array.from({ length: songs }, (_, song) => text(song));
        // Songs that have none come last, in both directions.
        const have = [...texts.keys()].filter(song => texts[song]);
        const rest = [...texts.keys()].filter(song => !texts[song]);
        have.sort((a, b) => byText(texts[a], texts[b]) || a - b);
        textOrders[key] = { have, rest };
    }
    const { have, rest } = textOrders[key];
    return [...(state.descending ? have.slice().reverse() : have), ...rest];
};
const orderByNumber = number => {
    const sign = state.descending ? -1 : 1;
    const all = Array.from({ length: songs }, (_, song) => song);
    return all.sort((a, b) => sign * (number(a) - number(b)) || a - b);
};
const order = () => {
    switch (state.key) {
        case "title": return orderByText("title", nameOf);
        case "artist": return orderByText("artist", artistOf);
        case "length": return orderByNumber(song => data.seconds[song]);
        default: return orderByNumber(song => chanceOf(song, state.mood));
    }
};

/// After any change of filter or order.
const update = () => {
    if (state.words.length) haystack ??= makeHaystack();
    state.shown = order().filter(fits);
    isShown.fill(0);
    for (const song of state.shown) isShown[song] = 1;
    showHead();
    showFilter();
    list.scrollTop = 0;
    clearRows();
    drawRows();
    map?.draw();
};

const sortBy = (key, mood = state.mood) => {
    const same = key === state.key && mood === state.mood;
    // Probabilities are asked for from the top, texts from A.
    state.descending = same ? !state.descending : key === "mood";
    Object.assign(state, { key, mood });
    update();
};

const toggleTag = tag => {
    if (state.tags.delete(tag)) return update();
    state.tags.add(tag);
    // Who asks for a mood wants the songs that have most of it.
    Object.assign(state, { key: "mood", mood: tag, descending: true });
    update();
};

const clearFilter = () => {
    state.tags.clear();
    state.words = [];
    part("find").value = "";
    update();
};

// What says how the list is chosen and sorted ----------------------------------------------------

const showHead = () => {
    part("chance").textContent = data.labels[state.mood] ?? "";
    for (const head of document.querySelectorAll("th[data-key]")) {
        if (head.dataset.key === state.key) {
            head.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
        } else {
            head.removeAttribute("aria-sort");
        }
    }
    part("sort").value = state.key === "mood" ? String(state.mood) : state.key;
    document.querySelector("#list table").setAttribute("aria-rowcount", state.shown.length + 1);
};

const chip = tag => {
    const button = made("button", `${data.labels[tag]} ×`);
    button.type = "button";
    button.setAttribute("aria-label", `No longer only ${data.labels[tag]}`);
    button.addEventListener("click", () => {
        toggleTag(tag);
        // The button is gone; what is next to it takes the keyboard.
        (part("chips").firstChild ?? part("list")).focus();
    });
    return button;
};

const showFilter = () => {
    const chosen = state.tags.size > 0 || state.words.length > 0;
    const none = state.shown.length === 0 ? " No song is like this." : "";
    const count = `${grouped(state.shown.length)} of ${counted(songs)}`;
    part("shown").textContent = (chosen ? count : counted(songs)) + "." + none;
    part("filter").hidden = !chosen;
    part("filter-count").textContent = count;
    const chips = [...state.tags].map(chip);
    if (state.words.length) chips.push(made("span", `“${state.words.join(" ")}”`));
    part("chips").replaceChildren(...chips);
    for (const button of document.querySelectorAll("button[data-tag]")) {
        button.setAttribute("aria-pressed", state.tags.has(Number(button.dataset.tag)));
    }
};

// The list: only rows near what is seen are in the document --------------------------------------

const list = part("list");
const rows = part("rows");
// Rows beyond what is seen, so that a slow frame shows no hole.
const MARGIN = 10;
const gap = () => {
    const row = made("tr", "", "gap");
    row.setAttribute("aria-hidden", "true");
    row.append(document.createElement("td"));
    // As few as a phone shows: a cell over more columns than there are would add some.
    row.firstChild.colSpan = 4;
    return row;
};
const [gapAbove, gapBelow] = [gap(), gap()];
// Measured on the first row: the reader's font decides.
let rowHeight = 56;

const cell = (kind, ...content) => {
    const cell = made("td", "", kind);
    cell.append(...content);
    return cell;
};

const titleCell = song => {
    const head = made("th");
    head.scope = "row";
    const under = [artistOf(song), tagsOf(song)].filter(text => text).join(" · ");
    head.append(
        made("bdi", nameOf(song)),
        made("small", data.paths[song], "file"),
        made("small", under, "under"),
    );
    for (const line of head.children) line.dir = "auto";
    head.title = data.paths[song];
    return head;
};

const chanceCell = song => {
    const chance = chanceOf(song, state.mood);
    const bar = made("span", "", "bar");
    bar.setAttribute("aria-hidden", "true");
    bar.append(made("i"));
    bar.firstChild.style.width = chance / 10 + "%";
    return cell("chance", percent(chance), bar);
};

const rowOf = place => {
    const song = state.shown[place];
    const row = made("tr");
    row.place = place;
    row.song = song;
    row.setAttribute("aria-rowindex", place + 2);
    const play = made("button", "▶\ufe0e");
    play.type = "button";
    play.setAttribute("aria-label", `Play ${nameOf(song)}`);
    const artist = made("bdi", artistOf(song));
    row.append(
        cell("play", play), titleCell(song), cell("artist", artist), cell("tags", tagsOf(song)),
        cell("length", lengthOf(song)), chanceCell(song),
    );
    markPlaying(row);
    return row;
};

const markPlaying = row => {
    if (row.song === state.playing) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
};

const clearRows = () => rows.replaceChildren(gapAbove, gapBelow);

const setGap = (gap, count) => {
    gap.hidden = count === 0;
    gap.firstChild.style.height = count * rowHeight + "px";
};

/// Adds and removes rows at both ends; those that stay keep the keyboard's focus.
const drawRows = () => {
    const first = Math.max(0, Math.floor(list.scrollTop / rowHeight) - MARGIN);
    const seen = Math.ceil(list.clientHeight / rowHeight) || MARGIN;
    const end = Math.min(state.shown.length, first + seen + 2 * MARGIN);
    for (const row of [...rows.children]) {
        if (row.place < first || row.place >= end) {
            if (row.contains(document.activeElement)) list.focus({ preventScroll: true });
            row.remove();
        }
    }
    let next = gapAbove.nextSibling;
    for (let place = first; place < end; place++) {
        if (next.place === place) next = next.nextSibling;
        else rows.insertBefore(rowOf(place), next);
    }
    setGap(gapAbove, first);
    setGap(gapBelow, state.shown.length - end);
    measureRow();
};

const measureRow = () => {
    const row = gapAbove.nextSibling;
    const height = row === gapBelow ? 0 : row.getBoundingClientRect().height;
    if (height > 0 && Math.abs(height - rowHeight) > 0.01) {
        rowHeight = height;
        drawRows();
    }
};

/// At most once a frame, however often it is asked for.
const eachFrame = action => {
    let asked = false;
    return () => {
        if (asked) return;
        asked = true;
        requestAnimationFrame(() => {
            asked = false;
            action();
        });
    };
};

const reveal = song => {
    const place = state.shown.indexOf(song);
    if (place < 0) return;
    const [top, height] = [place * rowHeight, list.clientHeight];
    // Not where it can be seen already: a list that jumps under the pointer is hard to read.
    if (top < list.scrollTop || top + 2 * rowHeight > list.scrollTop + height) {
        list.scrollTop = top - height / 2 + rowHeight;
    }
    drawRows();
};

// Playing ----------------------------------------------------------------------------------------

const audio = part("audio");
const KINDS = {
    mp3: "audio/mpeg", flac: "audio/flac", ogg: "audio/ogg", oga: "audio/ogg", wav: "audio/wav",
    m4a: "audio/mp4", mp4: "audio/mp4", aac: "audio/aac", caf: "audio/x-caf", aif: "audio/aiff",
    aiff: "audio/aiff", aifc: "audio/aiff", mp2: "audio/mpeg", webm: "audio/webm",
};

const play = song => {
    state.playing = song;
    part("player").hidden = false;
    part("trouble").textContent = "";
    const artist = artistOf(song);
    const title = part("now-title");
    title.replaceChildren(made("bdi", nameOf(song)), ...(artist ? [" – ", made("bdi", artist)] : []));
    title.setAttribute("aria-label", `${nameOf(song)}: show in the list`);
    const strong = data.tags[song].map(tag => `${data.labels[tag]} ${percent(chanceOf(song, tag))}`);
    part("now-tags").textContent = strong.join(", ") || "no tag";
    audio.src = data.addresses[song];
    // Why it fails, the element's own event says.
    audio.play().catch(() => {});
    for (const row of rows.children) markPlaying(row);
    reveal(song);
    map?.draw();
};

const trouble = () => {
    const file = fileOf(state.playing);
    const dot = file.lastIndexOf(".");
    const kind = dot > 0 ? file.slice(dot + 1).toLowerCase() : "";
    const known = KINDS[kind];
    const link = made("a", "Open the file");
    link.href = data.addresses[state.playing];
    const why = known && !audio.canPlayType(known)
        ? `This browser cannot play .${kind} files. `
        : "This browser cannot play it, or the file is no longer there. ";
    part("trouble").replaceChildren(why, link, ".");
};

/// The song so many places on in the list.
const step = by => {
    const place = state.shown.indexOf(state.playing);
    const next = state.shown[place < 0 ? 0 : place + by];
    if (next !== undefined) play(next);
};

// The map ----------------------------------------------------------------------------------------

// Colours that the style sheet tells apart; tags beyond them share one.
const COLOURS = ["--s0", "--s1", "--s2", "--s3", "--s4", "--s5", "--s6", "--s7"];
const OTHER = COLOURS.length;
const NONE = OTHER + 1;
const MOST_ZOOM = 60;
const EDGE = 18;

const tally = values => {
    const counts = new Map();
    for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
    return counts;
};

const makeMap = () => {
    const [box, canvas, tip] = [part("map-box"), part("map-canvas"), part("map-tip")];
    const context = canvas.getContext("2d");
    const placed = [...data.places.keys()].filter(song => data.places[song]);
    const mainTags = tally(placed.map(song => data.tags[song][0]));
    const coloured = [...mainTags.keys()].filter(tag => tag !== undefined)
        .sort((a, b) => mainTags.get(b) - mainTags.get(a) || a - b).slice(0, COLOURS.length);
    const kindOf = song => {
        const tag = data.tags[song][0];
        if (tag === undefined) return NONE;
        const at = coloured.indexOf(tag);
        return at < 0 ? OTHER : at;
    };
    const kinds = new Map(placed.map(song => [song, kindOf(song)]));
    // Dots with a colour of their own lie above the others.
    const inLayers = placed.slice().sort((a, b) => kinds.get(b) - kinds.get(a));
    const extent = axis => placed.reduce(([low, high], song) => {
        const x = data.places[song][axis];
        return [Math.min(low, x), Math.max(high, x)];
    }, [Infinity, -Infinity]);
    const [xs, ys] = [extent(0), extent(1)];
    const view = { zoom: 1, x: 0, y: 0, width: 0, height: 0 };
    let hovered = -1;
    // At first it is drawn in any case, as paper shows it too.
    let inSight = true;

    const unit = () => view.zoom * Math.min(
        (view.width - 2 * EDGE) / Math.max(xs[1] - xs[0], 1),
        (view.height - 2 * EDGE) / Math.max(ys[1] - ys[0], 1),
    );
    const at = song => {
        const [x, y] = data.places[song];
        const scale = unit();
        return [
            view.width / 2 + view.x + (x - (xs[0] + xs[1]) / 2) * scale,
            view.height / 2 + view.y - (y - (ys[0] + ys[1]) / 2) * scale,
        ];
    };
    const radius = () =>
        (placed.length < 300 ? 6 : placed.length < 3000 ? 4 : 2.5) * Math.min(2, view.zoom ** 0.25);

    /// As the style sheet has it now: by day and by night it differs.
    const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const kindColours = () => [...COLOURS, "--soft", "--soft"].map(colour);
    const drawDots = (wanted, alpha) => {
        const [size, colours] = [radius(), kindColours()];
        context.globalAlpha = alpha;
        context.lineWidth = 1;
        for (const song of inLayers) {
            if (isShown[song] !== wanted) continue;
            const [x, y] = at(song);
            if (x < -size || y < -size || x > view.width + size || y > view.height + size) continue;
            const kind = kinds.get(song);
            context.beginPath();
            context.arc(x, y, size, 0, 7);
            context.fillStyle = context.strokeStyle = colours[kind];
            if (kind === NONE) context.stroke();
            else context.fill();
        }
        context.globalAlpha = 1;
    };
    const drawRing = (song, width) => {
        if (!kinds.has(song)) return;
        const [x, y] = at(song);
        context.beginPath();
        context.arc(x, y, radius() + 3, 0, 7);
        context.lineWidth = width;
        context.strokeStyle = colour("--ink");
        context.stroke();
    };
    const draw = eachFrame(() => {
        // Thousands of dots take a while; the list does not wait for what nobody sees.
        if (!inSight) return;
        const [width, height, ratio] = [box.clientWidth, box.clientHeight, devicePixelRatio];
        Object.assign(view, { width, height });
        if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
            canvas.width = Math.round(width * ratio);
            canvas.height = Math.round(height * ratio);
        }
        context.setTransform(ratio, 0, 0, ratio, 0, 0);
        context.clearRect(0, 0, width, height);
        drawDots(0, 0.12);
        drawDots(1, placed.length < 3000 ? 0.9 : 0.7);
        drawRing(state.playing, 2.5);
        drawRing(hovered, 1.5);
        // A finger scrolls the page until there is somewhere to go on the map.
        canvas.style.touchAction = view.zoom > 1 ? "none" : "pan-y";
        part("map-out").disabled = view.zoom <= 1;
        part("map-in").disabled = view.zoom >= MOST_ZOOM;
    });

    /// The middle stays within the dots, so that nobody gets lost.
    const holdIn = () => {
        const limit = [(xs[1] - xs[0]) / 2, (ys[1] - ys[0]) / 2].map(half => half * unit());
        view.x = Math.max(-limit[0], Math.min(limit[0], view.x));
        view.y = Math.max(-limit[1], Math.min(limit[1], view.y));
        if (view.zoom === 1) view.x = view.y = 0;
    };
    const move = (x, y) => {
        view.x += x;
        view.y += y;
        hide();
        holdIn();
        draw();
    };
    /// What lies at (x, y) stays there.
    const zoom = (factor, x = view.width / 2, y = view.height / 2) => {
        const before = view.zoom;
        view.zoom = Math.max(1, Math.min(MOST_ZOOM, before * factor));
        const by = view.zoom / before;
        const [fromX, fromY] = [x - view.width / 2, y - view.height / 2];
        view.x = fromX - (fromX - view.x) * by;
        view.y = fromY - (fromY - view.y) * by;
        move(0, 0);
    };
    const all = () => zoom(1 / MOST_ZOOM);

    const nearest = (x, y, reach) => {
        let [found, best] = [-1, reach * reach];
        for (const song of placed) {
            if (!isShown[song]) continue;
            const [a, b] = at(song);
            const distance = (a - x) ** 2 + (b - y) ** 2;
            if (distance < best) [found, best] = [song, distance];
        }
        return found;
    };
    const hide = () => {
        tip.hidden = true;
        canvas.classList.remove("on");
        if (hovered >= 0) draw();
        hovered = -1;
    };
    const show = (song, touch) => {
        if (song === hovered && !tip.hidden) return;
        hide();
        if (song < 0) return;
        hovered = song;
        canvas.classList.add("on");
        const likely = data.tags[song].slice(0, 5)
            .map(tag => `${data.labels[tag]} ${percent(chanceOf(song, tag))}`).join(", ");
        tip.replaceChildren(
            made("b", nameOf(song)), made("span", artistOf(song)), made("span", likely || "no tag"));
        for (const line of tip.children) line.dir = "auto";
        tip.classList.toggle("touch", touch);
        if (touch) {
            const button = made("button", "Play");
            button.type = "button";
            button.addEventListener("click", () => play(song));
            tip.append(button);
        }
        tip.hidden = false;
        placeTip(at(song));
        draw();
    };
    const placeTip = ([x, y]) => {
        const [width, height] = [tip.offsetWidth, tip.offsetHeight];
        const left = x + 14 + width > view.width ? x - 14 - width : x + 14;
        const top = Math.min(y - height / 2, view.height - height - 4);
        tip.style.left = Math.max(4, Math.min(left, view.width - width - 4)) + "px";
        tip.style.top = Math.max(4, top) + "px";
    };

    const fingers = new Map();
    let travelled = 0;
    const spread = () => {
        const [a, b] = [...fingers.values()];
        return [Math.hypot(a[0] - b[0], a[1] - b[1]), (a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    };
    const down = event => {
        if (event.button !== 0) return;
        if (fingers.size === 0) travelled = 0;
        fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
        canvas.setPointerCapture(event.pointerId);
    };
    const drag = event => {
        const [x, y] = [event.offsetX, event.offsetY];
        const before = fingers.get(event.pointerId);
        if (!before) {
            if (event.pointerType === "mouse") show(nearest(x, y, radius() + 8), false);
            return;
        }
        travelled += Math.hypot(x - before[0], y - before[1]);
        if (fingers.size === 2) {
            const [apart] = spread();
            fingers.set(event.pointerId, [x, y]);
            const [now, middleX, middleY] = spread();
            zoom(now / Math.max(apart, 1), middleX, middleY);
        } else {
            fingers.set(event.pointerId, [x, y]);
            // A hand that is not quite still is no drag.
            if (travelled > 4) move(x - before[0], y - before[1]);
        }
    };
    const up = event => {
        const pressed = fingers.delete(event.pointerId) && travelled <= 4;
        if (!pressed || event.type === "pointercancel") return;
        const touch = event.pointerType !== "mouse";
        const song = nearest(event.offsetX, event.offsetY, radius() + (touch ? 20 : 8));
        if (touch) show(song, true);
        else if (song >= 0) play(song);
    };
    const KEYS = {
        ArrowLeft: () => move(60, 0), ArrowRight: () => move(-60, 0),
        ArrowUp: () => move(0, 60), ArrowDown: () => move(0, -60),
        "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: all,
        Escape: hide,
    };
    const key = event => {
        const action = KEYS[event.key];
        if (event.target !== box || !action || event.ctrlKey || event.metaKey) return;
        event.preventDefault();
        action();
    };
    const wheel = event => {
        // Without Ctrl the page scrolls, as it does everywhere else; a trackpad's pinch sets it.
        if (!event.ctrlKey) return;
        event.preventDefault();
        zoom(Math.exp(-event.deltaY / 250), event.offsetX, event.offsetY);
    };

    const legend = () => {
        const entries = coloured.map((tag, at) => [COLOURS[at], data.labels[tag], mainTags.get(tag)]);
        const rest = kind => placed.filter(song => kinds.get(song) === kind).length;
        entries.push(["--soft", "another", rest(OTHER)], ["", "no tag", rest(NONE)]);
        part("map-legend").replaceChildren(...entries.filter(entry => entry[2]).map(([colour, name, count]) => {
            const item = made("li");
            const dot = made("i");
            if (colour) dot.style.background = `var(${colour})`;
            else dot.style.border = "1.5px solid var(--soft)";
            item.append(dot, made("bdi", name), grouped(count));
            return item;
        }));
    };

    canvas.addEventListener("pointerdown", down);
    canvas.addEventListener("pointermove", drag);
    canvas.addEventListener("pointerup", up);
    canvas.addEventListener("pointercancel", up);
    canvas.addEventListener("pointerleave", event => event.pointerType === "mouse" && hide());
    canvas.addEventListener("wheel", wheel, { passive: false });
    box.addEventListener("keydown", key);
    part("map-in").addEventListener("click", () => zoom(1.5));
    part("map-out").addEventListener("click", () => zoom(1 / 1.5));
    part("map-all").addEventListener("click", all);
    new ResizeObserver(draw).observe(box);
    new IntersectionObserver(([entry]) => {
        inSight = entry.isIntersecting;
        draw();
    }).observe(box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    legend();
    return { draw };
};

// Beginning --------------------------------------------------------------------------------------

const map = data.places ? makeMap() : null;
// The column shows the most frequent tag's probability until another is asked for.
const frequent = document.querySelector("button[data-tag]");
if (frequent) state.mood = Number(frequent.dataset.tag);

part("find").addEventListener("input", eachFrame(() => {
    state.words = plain(part("find").value).split(/\s+/).filter(word => word);
    update();
}));
part("sort").addEventListener("change", () => {
    const chosen = part("sort").value;
    if (/^\d+$/.test(chosen)) sortBy("mood", Number(chosen));
    else sortBy(chosen);
});
part("turn").addEventListener("click", () => sortBy(state.key));
for (const head of document.querySelectorAll("th[data-key]")) {
    head.firstChild.addEventListener("click", () => sortBy(head.dataset.key));
}
for (const button of document.querySelectorAll("button[data-tag]")) {
    button.addEventListener("click", () => toggleTag(Number(button.dataset.tag)));
}
part("clear").addEventListener("click", clearFilter);
list.addEventListener("scroll", eachFrame(drawRows));
rows.addEventListener("click", event => {
    const row = event.target.closest("tr");
    if (event.target.closest("button")) play(row.song);
});
rows.addEventListener("dblclick", event => {
    const row = event.target.closest("tr");
    if (row?.song !== undefined && !event.target.closest("button")) play(row.song);
});
part("now-title").addEventListener("click", () => {
    reveal(state.playing);
    part("songs").scrollIntoView();
});
part("before").addEventListener("click", () => step(-1));
part("after").addEventListener("click", () => step(1));
audio.addEventListener("ended", () => step(1));
audio.addEventListener("error", trouble);
addEventListener("resize", eachFrame(drawRows));
update();
})();
