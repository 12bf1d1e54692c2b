"use strict";
// The page that tells the moods of recordings.

/** @template {HTMLElement} [T=HTMLElement] @param {string} id @param {new () => T} [kind] @returns {T} */
function part(id, kind) {
    const found = document.getElementById(id);
    if (!(found instanceof (kind ?? HTMLElement))) throw new Error(`the page has no ${id}`);
    return /** @type {T} */ (found);
}

/** @param {string} words @param {string} name @param {string} type */
function saveFile(words, name, type) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([words], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const moodsPage = () => {
    // Lines that can still be told apart, and their dashes for those who cannot tell the colours.
    const LINES = [[], [7, 3], [2, 3], [9, 3, 2, 3], [12, 4]];
    const BARS = 10;
    // Points of a line at most: more would be a thicket.
    const POINTS = 150;
    // From quiet to loud, with evenly rising lightness.
    const COLOURS = [[4, 4, 16], [62, 18, 104], [142, 41, 122], [217, 73, 88], [252, 151, 95], [252, 246, 190]];
    // What lies further below the loudest is shown as silence.
    const RANGE = 80;
    const FONT = "12px system-ui, sans-serif";
    const player = part("player", HTMLAudioElement);
    const slider = part("slider");

    const state = {
        /** @type {Entry[]} */
        entries: [],
        /** @type {Entry | null} */
        chosen: null,
        /** @type {Listener | null} */
        listener: null,
        /** @type {Promise<Listener> | null} */
        opening: null,
        working: false,
        everyBar: false,
        recordings: 0,
        // Of the chosen recording, in seconds.
        position: 0,
        frame: 0,
        /** @type {HTMLCanvasElement | null} */
        image: null,
        /** @type {{stop: (wanted: boolean) => void} | null} */
        microphone: null,
    };

    // Small things -----------------------------------------

    /** @param {string} id @param {string} words */
    const text = (id, words) => (part(id, HTMLElement).textContent = words);

    /**
     * An element with text in it; text is never read as markup.
     * @template {keyof HTMLElementTagNameMap} K @param {K} name @param {string} words
     * @param {string} kind its class @returns {HTMLElementTagNameMap[K]}
     */
    function made(name, words = "", kind = "") {
        const element = document.createElement(name);
        element.textContent = words;
        if (kind) element.className = kind;
        return element;
    }

    /** @param {string} words @param {string} kind @param {() => void} pressed */
    function pressable(words, kind, pressed) {
        const button = made("button", words, kind);
        button.type = "button";
        button.addEventListener("click", pressed);
        return button;
    }

    /** @param {number} seconds */
    function clock(seconds) {
        const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
        const whole = Math.floor(seconds);
        const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
        return (hours ? `${hours}:${two(minutes)}` : minutes) + ":" + two(whole % 60);
    }
    /** @param {number} seconds */
    const length = seconds => (seconds < 10 ? `${seconds.toFixed(1)} s` : clock(Math.round(seconds)));

    /** @param {number} share */
    function percent(share) {
        const hundredths = 100 * share;
        if (hundredths > 0 && hundredths < 0.1) return "<\u00a00.1\u00a0%";
        return `${hundredths < 9.95 ? hundredths.toFixed(1) : Math.round(hundredths)}\u00a0%`;
    }
    const announce = (/** @type {string} */ words) => text("announcement", words);

    /** @param {unknown} error @returns {Trouble} */
    function troubleOf(error) {
        if (error instanceof Trouble) return error;
        return new Trouble(`${replay.said(error)}.`, "Reload the page and try again.");
    }

    // The model --------------------------------------------

    /** Opened once, and again after the GPU was lost. @returns {Promise<Listener>} */
    function listener() {
        state.opening ??= openListener().catch(error => {
            state.opening = null;
            showTrouble(troubleOf(error));
            throw error;
        });
        return state.opening;
    }

    async function openListener() {
        const opened = await replay.listener();
        state.listener = opened;
        opened.machine.device.lost.then(() => (state.opening = null));
        part("trouble").hidden = true;
        showModel(opened);
        return opened;
    }

    /** @param {Listener} opened */
    function showModel({ plan, machine }) {
        const { model, audio } = plan;
        const where = machine.software ? "processor" : "GPU";
        const told = `, which runs here, on this computer's ${where}. Nothing leaves this computer.`;
        part("about").replaceChildren("Told by ", made("strong", model.name), told);
        const slow = machine.software ? ": no GPU can be used, so it takes its time" : "";
        text("state", `Ready, on ${machine.adapter}${slow}.`);
        part("which", HTMLFieldSetElement).hidden = model.moods.length === model.outputs.length;
        const footer = part("footer");
        const about = model.about ? `${model.name}: ${model.about.replace(/\.?$/, ".")} ` : "";
        const clip = (audio.step / audio.sample_rate).toFixed(1);
        const heard = `It hears mono at ${audio.sample_rate / 1000} kHz, in clips of ${clip} s.`;
        footer.textContent = `${about}${heard} Exported by ${plan.made_by}.`;
        const link = (/** @type {string} */ href, /** @type {string} */ words) =>
            footer.append(" ", Object.assign(made("a", words), { href }), ".");
        if (model.licence) link(encodeURIComponent(model.licence), "Licence of the model");
        if (plan.verification) link("verification.html", "Verify the kernels in this browser");
    }

    /** @param {Trouble} trouble */
    function showTrouble(trouble) {
        text("trouble-title", trouble.message);
        text("trouble-advice", trouble.advice);
        part("browsers").hidden = trouble.about !== "webgpu";
        part("trouble").hidden = false;
        text("state", "The model is not ready.");
    }

    // What is shown of the outputs -------------------------

    // Asked for only where there are results, so that there is a model too.
    const plan = () => /** @type {Listener} */ (state.listener).plan;
    const model = () => plan().model;
    /** @param {number} output */
    const outputName = output => model().outputs[output];
    /** @param {number} output */
    const isMood = output => model().moods.includes(outputName(output));

    /** Outputs that are shown, by number. */
    function shown() {
        const outputs = [...model().outputs.keys()];
        return part("only-moods", HTMLInputElement).checked ? outputs.filter(isMood) : outputs;
    }

    /** @param {Result} result @returns {number[]} the outputs shown, the most probable first */
    const ranked = result => shown().sort((a, b) => result.probabilities[b] - result.probabilities[a] || a - b);

    /** From which probability on a recording has a mood; other outputs tag nothing. @param {number} output */
    const threshold = output => (isMood(output) && model().thresholds?.[output]) || null;

    /** Less than a clip tells too little, and silence nothing. @param {Result} result @returns {number[]} outputs */
    function tags({ probabilities, silent, padded }) {
        const { thresholds, one_at_least } = model();
        if (!thresholds || silent || padded) return [];
        const moods = [...probabilities.keys()].filter(isMood).sort((a, b) => probabilities[b] - probabilities[a]);
        const reached = moods.filter(output => probabilities[output] >= (threshold(output) ?? Infinity));
        return reached.length || !one_at_least ? reached : moods.slice(0, 1);
    }

    /** "metal 69 %, experimental 11 %" @param {number[]} outputs @param {number[]} probabilities */
    function inWords(outputs, probabilities) {
        return outputs.map(output => `${outputName(output)} ${percent(probabilities[output])}`).join(", ");
    }

    // The queue --------------------------------------------

    /** @param {Iterable<File>} files */
    function add(files) {
        for (const file of files) {
            /** @type {Entry} */
            const entry = {
                ...{ name: file.name, file, row: made("li"), all: false },
                ...{ stage: "waiting", share: 0, trouble: null, result: null, picture: null },
            };
            state.entries.push(entry);
            part("list").append(entry.row);
            showRow(entry);
        }
        if (!state.entries.length) return;
        part("open").classList.add("slim");
        part("recordings").hidden = false;
        if (!state.chosen) choose(state.entries[0]);
        work();
    }

    /** Hears what waits, one recording after another. */
    async function work() {
        if (state.working) return;
        state.working = true;
        document.body.dataset.state = "busy";
        for (let entry; (entry = state.entries.find(({ stage }) => stage === "waiting")); ) await hear(entry);
        state.working = false;
        document.body.dataset.state = "done";
        showButtons();
    }

    /** @param {Entry} entry */
    async function hear(entry) {
        const step = (/** @type {Partial<Entry>} */ changes) => {
            // Whoever clears the list does not wait for what was in it.
            if (!state.entries.includes(entry)) throw new Trouble("It was taken off the list.");
            Object.assign(entry, changes);
            showRow(entry);
            if (entry === state.chosen) showFacts();
        };
        try {
            step({ stage: "decoding", trouble: null });
            const ready = await listener();
            const sound = await recording.decode(entry.file, ready.plan.audio.sample_rate);
            step({ stage: "hearing", share: 0 });
            const progressed = (/** @type {number} */ share) => step({ share });
            const { result, picture } = await recording.hear(ready, entry.name, sound, entry.all, progressed);
            keep(entry.result, result);
            step({ stage: "done", result, picture });
            const top = result.silent ? "silent" : inWords(ranked(result).slice(0, 3), result.probabilities);
            announce(`${entry.name}: ${top}`);
            if (entry === state.chosen) showChosen();
        } catch (error) {
            if (!state.entries.includes(entry)) return;
            const trouble = troubleOf(error);
            step({ stage: "error", trouble });
            announce(`${entry.name}: ${trouble.message}`);
        }
    }

    /** @param {Result | null} old @param {Result} result */
    function keep(old, result) {
        // Those of many recordings would fill the memory.
        for (const known of moodshader.results) known.logMel = new Float32Array(0);
        const place = moodshader.results.findIndex(known => known === old);
        moodshader.results.splice(place < 0 ? moodshader.results.length : place, place < 0 ? 0 : 1, result);
    }

    /** @param {Entry} entry */
    function stageInWords({ stage, share, result, trouble }) {
        switch (stage) {
            case "hearing": return `hearing ${Math.floor(100 * share)} %`;
            case "error": return trouble ? `${trouble.message} ${trouble.advice}` : "error";
            case "done": return result?.silent ? "silent" : "done";
            default: return stage;
        }
    }

    /** @param {Entry} entry */
    function showRow(entry) {
        const { row, name, result, stage } = entry;
        let button = row.querySelector("button");
        if (!button) {
            button = pressable("", "row", () => choose(entry));
            row.append(button);
        }
        const found = made("span", "", "found");
        if (result && !result.silent) {
            for (const output of ranked(result).slice(0, 3)) {
                const mood = made("span", `${outputName(output)} `);
                mood.append(made("b", percent(result.probabilities[output])));
                found.append(mood, " ");
            }
        }
        const title = made("bdi", name, "title");
        title.title = name;
        const seconds = made("span", result ? length(result.seconds) : "", "length");
        const told = made("span", stageInWords(entry), `stage ${stage}`);
        button.replaceChildren(title, " ", seconds, " ", found, " ", told);
        markChosen(entry);
        row.querySelector(".retry")?.remove();
        if (stage === "error") row.append(pressable("Try again", "retry", () => wait(entry)));
        showButtons();
    }

    /** @param {Entry} entry */
    function markChosen(entry) {
        const button = entry.row.querySelector("button");
        if (entry === state.chosen) button?.setAttribute("aria-current", "true");
        else button?.removeAttribute("aria-current");
    }

    /** Puts a recording into the queue once more. @param {Entry} entry */
    function wait(entry) {
        entry.stage = "waiting";
        showRow(entry);
        work();
    }

    function showButtons() {
        part("save", HTMLButtonElement).disabled = !state.entries.some(entry => entry.result);
        const failed = state.entries.filter(({ stage, result }) => stage === "error" && !result).length;
        text("left-out", failed ? `The CSV leaves out ${failed} that could not be heard.` : "");
    }

    function clear() {
        state.microphone?.stop(false);
        state.entries = [];
        moodshader.results.length = 0;
        part("list").replaceChildren();
        part("recordings").hidden = true;
        part("open").classList.remove("slim");
        choose(null);
        part("files", HTMLInputElement).focus();
    }

    // CSV --------------------------------------------------

    /** A spreadsheet runs text that starts like a formula. @param {string} words */
    function cell(words) {
        const harmless = /^[=+\-@\t\r]/.test(words) ? `'${words}` : words;
        return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
    }

    /** In the columns of `moodshader predict --format csv`. */
    function csv() {
        const { outputs } = model();
        const rows = [["path", "duration", "padded", ...outputs, "tags"].map(cell)];
        for (const result of state.entries.flatMap(({ result }) => result ?? [])) {
            const { name, seconds, silent, padded, probabilities } = result;
            // Nine digits tell every float32 from the next.
            const digits = probabilities.map(value => String(Number(value.toPrecision(9))));
            const numbers = silent ? outputs.map(() => "") : digits;
            const tagged = cell(tags(result).map(outputName).join("|"));
            rows.push([cell(name), String(Number(seconds.toFixed(3))), String(padded), ...numbers, tagged]);
        }
        return rows.map(cells => `${cells.join(",")}\r\n`).join("");
    }

    // The chosen recording ---------------------------------

    /** @param {Entry | null} entry */
    function choose(entry) {
        const before = state.chosen;
        state.chosen = entry;
        for (const one of [before, entry]) if (one) markChosen(one);
        part("recording").hidden = !entry;
        if (player.src) URL.revokeObjectURL(player.src);
        player.removeAttribute("src");
        text("now", "");
        if (entry) player.src = URL.createObjectURL(entry.file);
        player.load();
        state.everyBar = false;
        state.position = 0;
        showChosen();
    }

    function showChosen() {
        const entry = state.chosen;
        const result = entry?.result;
        if (entry) text("name", entry.name);
        showFacts();
        const heard = !!result && !result.silent;
        part("pictures").hidden = !heard;
        state.image = null;
        if (!heard) return;
        state.image = entry.picture && spectrogramImage(entry.picture);
        showBars(result);
        showTable(result);
        draw();
        showPosition();
    }

    /** What was heard of the chosen recording. */
    function showFacts() {
        const { chosen } = state;
        if (!chosen) return;
        const { result, picture, stage } = chosen;
        showPlayer();
        const again = part("again", HTMLButtonElement);
        again.hidden = true;
        if (stage !== "done" || !result || !picture) return text("facts", stageInWords(chosen));
        const { step, sample_rate } = plan().audio;
        const heard = picture.places.length;
        const missing = !result.silent && heard < picture.count;
        const clips = missing ? `${heard} of ${picture.count} clips` : heard === 1 ? "1 clip" : `${heard} clips`;
        const told = [length(result.seconds), `${clips} of ${(step / sample_rate).toFixed(1)} s heard`];
        if (result.silent) told[1] = "silent: nothing can be heard, so there are no moods";
        if (result.padded) told.push("shorter than a clip, so silence was added and nothing is tagged");
        text("facts", told.join(" · "));
        again.textContent = `Hear all ${picture.count}`;
        again.hidden = !missing;
    }

    /** Once it can play, or may: some browsers look into a file only when asked to play it. */
    function showPlayer() {
        const decoded = state.chosen?.stage === "hearing" || !!state.chosen?.result;
        player.hidden = !!player.error || !(decoded || player.duration > 0);
    }

    /** @param {Result} result */
    function showBars(result) {
        const { thresholds, one_at_least } = model();
        const order = ranked(result);
        const outputs = state.everyBar ? order : order.slice(0, BARS);
        const bars = part("bars");
        bars.classList.toggle("marked", !!thresholds);
        bars.replaceChildren(...outputs.map((output, place) => bar(result, output, place)));
        const best = one_at_least ? ", or if it is the most probable and none reaches its mark" : "";
        const marks = thresholds ? `A mood is tagged from the mark on its bar on${best}. ` : "";
        const sum = model().exclusive
            ? "All moods together make 100 %."
            : "Each is a probability of its own: together they may make more or less than 100 %.";
        text("bars-note", marks + sum);
        const more = part("more", HTMLButtonElement);
        more.hidden = order.length <= BARS;
        more.textContent = state.everyBar ? "Show fewer" : `Show all ${order.length}`;
        more.setAttribute("aria-expanded", String(state.everyBar));
    }

    /** @param {Result} result @param {number} output @param {number} place */
    function bar(result, output, place) {
        const row = made("li");
        const share = result.probabilities[output];
        const outer = made("div", "", "bar");
        const inner = made("i", "", place < LINES.length ? `s${place}` : "");
        inner.style.width = `${100 * share}%`;
        outer.append(inner);
        const least = threshold(output);
        if (least !== null) {
            const mark = made("b");
            mark.style.left = `${100 * least}%`;
            mark.title = `tagged from ${percent(least)} on`;
            outer.append(mark);
        }
        const name = made("bdi", outputName(output));
        name.title = outputName(output);
        row.append(name, " ", outer, made("span", percent(share), "value"));
        if (tags(result).includes(output)) row.append(" ", made("span", "tagged", "tagged"));
        return row;
    }

    /** Made when it is opened: that of a long recording has thousands of rows. @param {Result} result */
    function showTable(result) {
        const table = part("table", HTMLTableElement);
        table.replaceChildren();
        if (!part("table-details", HTMLDetailsElement).open) return;
        const outputs = ranked(result).slice(0, LINES.length);
        const head = table.createTHead().insertRow();
        for (const words of ["Time", ...outputs.map(outputName)]) {
            const cell = made("th", words);
            cell.scope = "col";
            head.append(cell);
        }
        const body = table.createTBody();
        for (const clip of result.clips) {
            const row = body.insertRow();
            const time = made("th", `${clock(Math.round(clip.start))}–${clock(Math.round(clip.end))}`);
            time.scope = "row";
            row.append(time, ...outputs.map(output => made("td", percent(clip.probabilities[output]))));
        }
    }

    // Pictures ---------------------------------------------

    /** @param {string} name of a variable of the style sheet */
    const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

    /** A canvas in CSS pixels, cleared. @param {HTMLCanvasElement} canvas */
    function sheet(canvas) {
        const { clientWidth: width, clientHeight: height } = canvas;
        canvas.width = Math.round(width * devicePixelRatio);
        canvas.height = Math.round(height * devicePixelRatio);
        const context = /** @type {Pen} */ (canvas.getContext("2d"));
        context.scale(canvas.width / width, canvas.height / height);
        context.font = FONT;
        context.textBaseline = "middle";
        return { context, width, height };
    }

    /** Both pictures, which share the axis of time. */
    function draw() {
        const result = state.chosen?.result;
        const picture = state.chosen?.picture;
        if (!result || !picture || result.silent) return;
        const outputs = ranked(result).slice(0, LINES.length);
        const canvas = part("moods", HTMLCanvasElement);
        const wide = canvas.clientWidth > 620;
        const across = { left: 52, right: wide ? 150 : 8, width: canvas.clientWidth, seconds: result.seconds };
        showLegend(outputs, wide);
        drawMoods(canvas, across, result, outputs, wide);
        drawSpectrogram(part("spectrogram", HTMLCanvasElement), across, picture);
        slider.style.left = `${across.left}px`;
        slider.style.right = `${across.right}px`;
        showPosition();
    }

    /** @param {Across} across @param {number} seconds */
    const place = ({ left, right, width, seconds: all }, seconds) => left + (seconds / all) * (width - left - right);

    /** Beside the lines where there is room, above them where not. @param {number[]} outputs @param {boolean} wide */
    function showLegend(outputs, wide) {
        const legend = part("legend");
        legend.hidden = wide;
        legend.replaceChildren(...outputs.map((output, line) => {
            const item = made("li");
            const key = made("i");
            key.style.borderColor = `var(--s${line})`;
            if (line) key.style.borderTopStyle = line === 2 ? "dotted" : "dashed";
            item.append(key, outputName(output));
            return item;
        }));
    }

    /**
     * @param {HTMLCanvasElement} canvas @param {Across} across @param {Result} result @param {number[]} outputs
     * @param {boolean} labelled
     */
    function drawMoods(canvas, across, result, outputs, labelled) {
        const { context, height } = sheet(canvas);
        const [top, bottom] = [10, height - 12];
        const clips = thinned(result.clips);
        const highest = clips
            .flatMap(({ probabilities }) => outputs.map(output => probabilities[output]))
            .reduce((a, b) => Math.max(a, b));
        const ceiling = [0.02, 0.05, 0.1, 0.2, 0.5, 1].find(step => highest <= step) ?? 1;
        const level = (/** @type {number} */ share) => bottom - (share / ceiling) * (bottom - top);
        context.strokeStyle = colour("--rule");
        context.fillStyle = colour("--soft");
        context.textAlign = "right";
        for (const share of [0, 0.25, 0.5, 0.75, 1]) {
            const y = Math.round(level(share * ceiling)) + 0.5;
            context.beginPath();
            context.moveTo(across.left, y);
            context.lineTo(across.width - across.right, y);
            context.stroke();
            const label = `${Number((100 * share * ceiling).toFixed(1))} %`;
            if (share % 0.5 === 0) context.fillText(label, across.left - 6, y);
        }
        // The most probable lies on top.
        for (let line = outputs.length - 1; line >= 0; line--) {
            context.strokeStyle = colour(`--s${line}`);
            context.setLineDash(LINES[line]);
            const points = clips.map(({ start, end, probabilities }) => ({
                start: place(across, start),
                end: place(across, end),
                y: level(probabilities[outputs[line]]),
            }));
            drawLine(context, points);
        }
        context.setLineDash([]);
        if (labelled) drawLabels(context, across, outputs, clips[clips.length - 1], level, [top, bottom]);
        const whole = inWords(outputs, result.probabilities);
        const over = length(result.seconds);
        canvas.ariaLabel = `Moods over ${over}. On the whole ${whole}. The table below has all clips.`;
    }

    /** Means of neighbours, where there are too many clips to be told apart. @param {HeardClip[]} clips */
    function thinned(clips) {
        const size = Math.ceil(clips.length / POINTS);
        text("thinned", size > 1 ? `, the mean of ${size} clips a point` : "");
        return Array.from({ length: Math.ceil(clips.length / size) }, (_, point) => {
            const group = clips.slice(point * size, (point + 1) * size);
            const probabilities = group[0].probabilities.map((_, output) => {
                return group.reduce((sum, clip) => sum + clip.probabilities[output], 0) / group.length;
            });
            return { start: group[0].start, end: group[group.length - 1].end, probabilities };
        });
    }

    /**
     * From clip to clip; fainter across what was not heard.
     * @param {Pen} context @param {{start: number, end: number, y: number}[]} clips
     */
    function drawLine(context, clips) {
        const gaps = clips.map(({ start }, clip) => clip > 0 && start > clips[clip - 1].end + 0.01);
        const apart = gaps.includes(true);
        context.lineJoin = "round";
        context.lineCap = "round";
        context.lineWidth = 2.25;
        context.beginPath();
        clips.forEach(({ start, end, y }, clip) => {
            // Of clips side by side the middles are joined; one that stands alone keeps its length.
            if (clip === 0 || gaps[clip]) context.moveTo(start, y);
            if (!apart) context.lineTo((start + end) / 2, y);
            if (apart || clip === clips.length - 1) context.lineTo(end, y);
        });
        context.stroke();
        if (!apart) return;
        context.lineWidth = 1;
        context.globalAlpha = 0.6;
        context.beginPath();
        clips.forEach(({ start, y }, clip) => {
            if (!gaps[clip]) return;
            context.moveTo(clips[clip - 1].end, clips[clip - 1].y);
            context.lineTo(start, y);
        });
        context.stroke();
        context.globalAlpha = 1;
    }

    /**
     * Names at the ends of the lines, moved apart.
     * @param {Pen} context @param {Across} across @param {number[]} outputs
     * @param {HeardClip} last @param {(share: number) => number} level @param {[number, number]} limits
     */
    function drawLabels(context, across, outputs, last, level, [top, bottom]) {
        const labels = outputs
            .map((output, line) => ({ line, name: outputName(output), from: level(last.probabilities[output]), y: 0 }))
            .sort((a, b) => a.from - b.from);
        const gap = 16;
        let least = top - gap;
        for (const label of labels) least = label.y = Math.max(label.from, least + gap);
        let most = bottom + gap;
        for (const label of labels.reverse()) most = label.y = Math.min(label.y, most - gap);
        const end = across.width - across.right;
        context.textAlign = "left";
        for (const { line, name, from, y } of labels) {
            context.strokeStyle = context.fillStyle = colour(`--s${line}`);
            context.lineWidth = 1;
            context.beginPath();
            context.moveTo(end + 3, from);
            context.lineTo(end + 13, y);
            context.stroke();
            context.fillText(name, end + 17, y, across.right - 20);
        }
    }

    /** What is shown as silence. @param {Picture} picture */
    function floor({ low, high }) {
        return plan().spectrogram.unit === "dB" ? Math.max(low, high - RANGE) : low;
    }

    /** All clips heard side by side, a pixel a value. @param {Picture} picture */
    function spectrogramImage(picture) {
        const { columns, values, places, low, high } = picture;
        const width = places.length * columns;
        const mels = values.length / width;
        const canvas = made("canvas");
        canvas.width = width;
        canvas.height = mels;
        const context = /** @type {Pen} */ (canvas.getContext("2d"));
        const image = context.createImageData(width, mels);
        const pixels = new Uint32Array(image.data.buffer);
        const least = floor(picture);
        const palette = Uint32Array.from({ length: 256 }, (_, value) => {
            const level = low + (value / 255) * (high - low);
            return rgba(high > least ? Math.max(0, level - least) / (high - least) : 0);
        });
        values.forEach((value, index) => {
            const clip = Math.floor(index / (mels * columns));
            const band = Math.floor(index / columns) % mels;
            pixels[(mels - 1 - band) * width + clip * columns + (index % columns)] = palette[value];
        });
        context.putImageData(image, 0, 0);
        return canvas;
    }

    /** @param {number} share @returns {number} a pixel, its bytes from the last to the first */
    function rgba(share) {
        const at = share * (COLOURS.length - 1);
        const below = Math.min(Math.floor(at), COLOURS.length - 2);
        const between = (/** @type {number} */ a, /** @type {number} */ b) => Math.round(a + (at - below) * (b - a));
        const [red, green, blue] = COLOURS[below].map((value, channel) => between(value, COLOURS[below + 1][channel]));
        return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
    }

    /** @param {HTMLCanvasElement} canvas @param {Across} across @param {Picture} picture */
    function drawSpectrogram(canvas, across, picture) {
        const { spectrogram, audio } = plan();
        const { context, height } = sheet(canvas);
        const bottom = height - 22;
        const clipSeconds = audio.step / audio.sample_rate;
        context.fillStyle = colour("--paper");
        context.fillRect(across.left, 0, across.width - across.left - across.right, bottom);
        for (const { first, count } of runs(picture.places)) {
            const start = picture.places[first] * clipSeconds;
            const end = Math.min(start + count * clipSeconds, across.seconds);
            const columns = picture.columns * ((end - start) / clipSeconds);
            const [left, right] = [place(across, start), place(across, end)];
            if (!state.image || columns <= 0) continue;
            const from = first * picture.columns;
            context.drawImage(state.image, from, 0, columns, state.image.height, left, 0, right - left, bottom);
        }
        context.fillStyle = context.strokeStyle = colour("--soft");
        drawFrequencies(context, across.left, bottom, spectrogram.hz);
        drawTimes(context, across, bottom);
        const { unit, mels, hz } = spectrogram;
        part("colours").title = `${floor(picture).toFixed(1)} to ${picture.high.toFixed(1)} ${unit}`;
        const range = `${Math.round(hz[0])} to ${Math.round(hz[mels - 1])} Hz`;
        canvas.ariaLabel = `Log-mel spectrogram: ${mels} bands from ${range} over ${length(across.seconds)}.`;
    }

    /** Clips heard that follow one another. @param {number[]} places */
    function runs(places) {
        /** @type {{first: number, count: number}[]} */
        const found = [];
        places.forEach((place, clip) => {
            if (clip > 0 && place === places[clip - 1] + 1) found[found.length - 1].count++;
            else found.push({ first: clip, count: 1 });
        });
        return found;
    }

    /** @param {Pen} context @param {number} left @param {number} bottom @param {number[]} hz */
    function drawFrequencies(context, left, bottom, hz) {
        context.textAlign = "right";
        let last = Infinity;
        for (const tick of [100, 200, 500, 1000, 2000, 4000, 8000, 16000]) {
            const above = hz.findIndex(centre => centre >= tick);
            if (above < 1) continue;
            const band = above - 1 + (tick - hz[above - 1]) / (hz[above] - hz[above - 1]);
            const y = bottom - ((band + 0.5) / hz.length) * bottom;
            if (last - y < 15 || y < 7) continue;
            last = y;
            context.fillRect(left - 4, Math.round(y), 4, 1);
            context.fillText(tick < 1000 ? `${tick} Hz` : `${tick / 1000} kHz`, left - 6, y);
        }
    }

    /** @param {Pen} context @param {Across} across @param {number} bottom */
    function drawTimes(context, across, bottom) {
        const room = across.width - across.left - across.right;
        const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];
        const step = steps.find(step => (step / across.seconds) * room >= 56) ?? across.seconds;
        context.textAlign = "center";
        for (let tick = 0; tick * step <= across.seconds; tick++) {
            const x = place(across, tick * step);
            context.fillRect(Math.round(x), bottom, 1, 4);
            const label = step < 1 ? `${(tick * step).toFixed(1)} s` : clock(tick * step);
            context.fillText(label, Math.min(x, across.width - 16), bottom + 13);
        }
    }

    // The position -----------------------------------------

    /** What was heard at a time, or nearest to it. @param {Result} result @param {number} seconds */
    function clipAt({ clips }, seconds) {
        let [low, high] = [0, clips.length - 1];
        while (low < high) {
            const middle = (low + high) >> 1;
            if (clips[middle].end > seconds) high = middle;
            else low = middle + 1;
        }
        return clips[low];
    }

    function showPosition() {
        const result = state.chosen?.result;
        if (!result?.clips.length) return;
        const share = Math.min(1, state.position / result.seconds);
        part("playhead").style.left = `${100 * share}%`;
        const clip = clipAt(result, state.position);
        // At the very end, what was heard to its end still is.
        const heard = clip.start <= state.position && (state.position < clip.end || clip.end >= result.seconds);
        const lines = ranked(result).slice(0, LINES.length);
        const moods = lines.sort((a, b) => clip.probabilities[b] - clip.probabilities[a]).slice(0, 2);
        const words = heard ? inWords(moods, clip.probabilities) : "not heard here";
        const now = `${clock(state.position)}  ${words}`;
        // While it plays not with every picture of the screen: screen readers read it out.
        if (part("now").textContent === now && !player.paused) return;
        text("now", now);
        slider.setAttribute("aria-valuemax", result.seconds.toFixed(1));
        slider.setAttribute("aria-valuenow", state.position.toFixed(1));
        slider.setAttribute("aria-valuetext", `${clock(state.position)} of ${clock(result.seconds)}: ${words}`);
    }

    /** @param {number} seconds */
    function jump(seconds) {
        const all = state.chosen?.result?.seconds ?? 0;
        state.position = Math.max(0, Math.min(seconds, all));
        if (player.readyState > 0) player.currentTime = state.position;
        showPosition();
    }

    /** While it plays the playhead moves with every picture of the screen. */
    function follow() {
        state.position = player.currentTime;
        showPosition();
        cancelAnimationFrame(state.frame);
        if (!player.paused && !player.ended) state.frame = requestAnimationFrame(follow);
    }

    /** @param {KeyboardEvent} event */
    function steer(event) {
        const result = state.chosen?.result;
        if (!result || event.altKey || event.ctrlKey || event.metaKey) return;
        const step = Math.min(5, result.seconds / 20);
        /** @type {Record<string, number>} */
        const goals = {
            ArrowRight: state.position + step,
            ArrowUp: state.position + step,
            ArrowLeft: state.position - step,
            ArrowDown: state.position - step,
            PageUp: state.position + 4 * step,
            PageDown: state.position - 4 * step,
            Home: 0,
            End: result.seconds,
        };
        if (event.key in goals) jump(goals[event.key]);
        else if (event.key === " ") player.paused ? player.play() : player.pause();
        else return;
        event.preventDefault();
    }

    function listenToSlider() {
        const point = (/** @type {PointerEvent} */ event) => {
            const { left, width } = slider.getBoundingClientRect();
            jump(((event.clientX - left) / width) * (state.chosen?.result?.seconds ?? 0));
        };
        slider.addEventListener("pointerdown", event => {
            if (event.button !== 0) return;
            slider.setPointerCapture(event.pointerId);
            point(event);
        });
        slider.addEventListener("pointermove", event => slider.hasPointerCapture(event.pointerId) && point(event));
        slider.addEventListener("keydown", steer);
        player.addEventListener("play", follow);
        player.addEventListener("seeked", follow);
        // What can be decoded but not played has its pictures all the same.
        player.addEventListener("error", showPlayer);
        player.addEventListener("loadedmetadata", () => {
            showPlayer();
            // A recording of the microphone does not say how long it is until its end was looked for.
            if (player.duration === Infinity) {
                player.currentTime = 1e9;
                player.addEventListener("seeked", () => (player.currentTime = 0), { once: true });
            }
        });
    }

    // Ways in ----------------------------------------------

    /**
     * Files of what was dropped, those of folders too as far as they can be read and say that they are sound.
     * @param {FileSystemEntry} entry @returns {Promise<File[]>}
     */
    async function filesBelow(entry) {
        if (entry.isFile) {
            const single = /** @type {FileSystemFileEntry} */ (entry);
            /** @type {File | null} */
            const file = await new Promise(found => single.file(found, () => found(null)));
            return file && /^(audio|video)\//.test(file.type) ? [file] : [];
        }
        const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
        /** @type {File[]} */
        const files = [];
        // It gives a hundred at a time, and none at the end.
        for (;;) {
            /** @type {FileSystemEntry[]} */
            const entries = await new Promise(found => reader.readEntries(found, () => found([])));
            if (!entries.length) return files;
            for (const one of entries) files.push(...(await filesBelow(one)));
        }
    }

    /** @param {DataTransfer} dropped */
    async function addDropped(dropped) {
        // Both lists are empty once the event is over.
        const files = [...dropped.files];
        const entries = [...dropped.items].map(item => item.webkitGetAsEntry()).filter(entry => entry !== null);
        const folders = entries.filter(entry => entry.isDirectory);
        const names = new Set(folders.map(folder => folder.name));
        add(files.filter(file => !names.has(file.name)));
        const empty = [];
        for (const folder of folders) {
            const found = await filesBelow(folder);
            if (found.length) add(found);
            else empty.push(folder.name);
        }
        if (!empty.length) return;
        // Else replaced by it.
        await state.opening?.catch(() => {});
        const why = location.protocol === "file:" ? " Folders need a page from a server; files do not." : "";
        text("state", `No music was found in ${empty.join(", ")}.${why}`);
    }

    function listenToDrops() {
        const hasFiles = (/** @type {DragEvent} */ event) => !!event.dataTransfer?.types.includes("Files");
        const show = (/** @type {boolean} */ on) => (part("drop").hidden = !on);
        addEventListener("dragover", event => {
            if (!hasFiles(event)) return;
            event.preventDefault();
            show(true);
        });
        addEventListener("dragleave", event => event.relatedTarget || show(false));
        addEventListener("drop", event => {
            show(false);
            if (!event.dataTransfer || !hasFiles(event)) return;
            event.preventDefault();
            addDropped(event.dataTransfer);
        });
    }

    // The microphone ---------------------------------------

    async function startMicrophone() {
        // What a browser does for calls is harm to music.
        const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
        const stream = await navigator.mediaDevices.getUserMedia({ audio });
        const recorder = new MediaRecorder(stream);
        /** @type {Blob[]} */
        const parts = [];
        recorder.addEventListener("dataavailable", event => parts.push(event.data));
        const context = new AudioContext();
        const analyser = context.createAnalyser();
        context.createMediaStreamSource(stream).connect(analyser);
        const samples = new Float32Array(analyser.fftSize);
        const start = performance.now();
        let kept = true;
        const timer = setInterval(() => {
            analyser.getFloatTimeDomainData(samples);
            // From -60 dB of full scale to full scale.
            const peak = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 1e-3);
            part("level", HTMLMeterElement).value = 1 + Math.log10(peak) / 3;
            text("elapsed", clock((performance.now() - start) / 1000));
        }, 100);
        recorder.addEventListener("stop", () => {
            clearInterval(timer);
            for (const track of stream.getTracks()) track.stop();
            context.close();
            state.microphone = null;
            showMicrophone();
            if (!kept) return;
            state.recordings++;
            const type = recorder.mimeType || "audio/webm";
            add([new File(parts, `Microphone ${state.recordings}`, { type })]);
            choose(state.entries[state.entries.length - 1]);
        });
        recorder.start();
        state.microphone = { stop: wanted => ((kept = wanted), recorder.stop()) };
        showMicrophone();
    }

    function showMicrophone() {
        const on = state.microphone !== null;
        text("record", on ? "Stop recording" : "Record");
        part("recorder").hidden = !on;
        text("elapsed", "0:00");
    }

    async function toggleMicrophone() {
        if (state.microphone) return state.microphone.stop(true);
        const button = part("record", HTMLButtonElement);
        button.disabled = true;
        try {
            if (!navigator.mediaDevices?.getUserMedia || !("MediaRecorder" in window)) {
                throw new Trouble("browsers give the microphone only to pages from https:// or localhost");
            }
            await startMicrophone();
        } catch (error) {
            /** @type {Record<string, string>} */
            const reasons = {
                NotAllowedError: "the browser's settings for this page do not allow the microphone",
                NotFoundError: "there is no microphone",
            };
            const known = error instanceof DOMException && reasons[error.name];
            text("state", `Nothing is recorded: ${known || replay.said(error)}.`);
        }
        button.disabled = false;
    }

    // The start --------------------------------------------

    function listenToButtons() {
        const input = part("files", HTMLInputElement);
        input.addEventListener("change", () => {
            add(input.files ?? []);
            // So that the same file can be chosen again.
            input.value = "";
        });
        part("record").addEventListener("click", toggleMicrophone);
        part("save").addEventListener("click", () => saveFile(csv(), "moods.csv", "text/csv"));
        part("clear").addEventListener("click", clear);
        part("again").addEventListener("click", () => {
            if (!state.chosen) return;
            state.chosen.all = true;
            wait(state.chosen);
            showFacts();
        });
        part("more").addEventListener("click", () => {
            state.everyBar = !state.everyBar;
            if (state.chosen?.result) showBars(state.chosen.result);
        });
        part("table-details").addEventListener("toggle", () => {
            if (state.chosen?.result) showTable(state.chosen.result);
        });
        part("which").addEventListener("change", () => {
            state.entries.forEach(showRow);
            showChosen();
        });
    }

    listenToButtons();
    listenToSlider();
    listenToDrops();
    new ResizeObserver(draw).observe(part("moods"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    // Made ready before it is asked for; a failure is shown, and told again with every recording.
    listener().catch(() => {});
};

if (document.body.dataset.page === "moods") moodsPage();
