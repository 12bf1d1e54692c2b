"use strict";
// The page that runs every kernel here and compares it with its CPU reference.

const verificationPage = () => {
    // Bytes of a uniform binding's window.
    const WINDOW = 65536;

    // One case ---------------------------------------------

    /** @param {ArrayBuffer} file @param {number} at in bytes @param {number} length in words */
    function wordsAt(file, at, length) {
        if (at + 4 * length > file.byteLength) throw new Trouble("the case's file is too short");
        return new Uint32Array(file.slice(at, at + 4 * length));
    }

    /**
     * The words of a tensor before the launch.
     * @param {CaseTensor} tensor @param {ArrayBuffer} file @returns {Uint32Array<ArrayBuffer>}
     */
    function wordsBefore({ length, at, fill }, file) {
        if (at === undefined) return new Uint32Array(length).fill(fill ?? 0);
        return wordsAt(file, at, length);
    }

    /**
     * Runs a case and reads all its tensors back.
     * @param {Machine} machine @param {GPUComputePipeline} pipeline @param {Case} one
     * @param {Uint32Array<ArrayBuffer>[]} before @returns {Promise<ArrayBuffer[]>}
     */
    async function launched(machine, pipeline, one, before) {
        const { device } = machine;
        const start = 4 * (one.uniform_start ?? 0);
        /** @type {GPUBuffer[]} */
        const used = [];
        const make = (/** @type {number} */ size, /** @type {number} */ usage) => {
            const buffer = device.createBuffer({ size, usage });
            used.push(buffer);
            return buffer;
        };
        const submit = () => {
            const tensors = before.map((words, place) => {
                const uniform = one.tensors[place].access === "uniform";
                const buffer = make(Math.max(words.byteLength, uniform ? start + WINDOW : 0), replay.USAGE);
                device.queue.writeBuffer(buffer, 0, words);
                return uniform ? { buffer, offset: start, size: WINDOW } : { buffer };
            });
            const [block] = replay.parameterBlocks(device, [one.parameters]);
            used.push(block.buffer);
            const group = replay.bindGroup(device, pipeline, [block, ...tensors]);
            const encoder = device.createCommandEncoder();
            replay.record(encoder, [{ pipeline, group, workgroups: one.workgroups }]);
            const bytes = before.reduce((sum, words) => sum + words.byteLength, 0);
            const staging = make(bytes, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
            let end = 0;
            before.forEach(({ byteLength }, place) => {
                encoder.copyBufferToBuffer(tensors[place].buffer, 0, staging, end, byteLength);
                end += byteLength;
            });
            device.queue.submit([encoder.finish()]);
            return staging;
        };
        try {
            const staging = await replay.checked(machine, "the case", submit);
            await replay.unlessLost(machine, staging.mapAsync(GPUMapMode.READ));
            const all = staging.getMappedRange();
            let end = 0;
            return before.map(({ byteLength }) => all.slice(end, (end += byteLength)));
        } finally {
            for (const buffer of used) buffer.destroy();
        }
    }

    /**
     * ‖got − expected‖ / ‖expected‖, absolute where nothing but zeros is expected.
     * @param {Float32Array} got shares, one after the other @param {Float32Array} expected
     */
    function distance(got, expected) {
        let [square, norm] = [0, 0];
        for (let element = 0; element < expected.length; element++) {
            if (!Number.isFinite(expected[element])) continue;
            let sum = 0;
            for (let place = element; place < got.length; place += expected.length) sum += got[place];
            if (!Number.isFinite(sum)) return Infinity;
            square += (sum - expected[element]) ** 2;
            norm += expected[element] ** 2;
        }
        return Math.sqrt(norm > 0 ? square / norm : square);
    }

    /**
     * The largest error over the tensors.
     * @param {Case} one @param {Uint32Array[]} before @param {ArrayBuffer[]} after @param {ArrayBuffer} file
     */
    function judged({ tensors }, before, after, file) {
        const errors = tensors.map(({ type, length, shares, expected }, place) => {
            const words = new Uint32Array(after[place]);
            if (expected === undefined) return differs(words, before[place]);
            const right = wordsAt(file, expected, length / shares);
            if (type === "uint32") return differs(words, right);
            return distance(new Float32Array(after[place]), new Float32Array(right.buffer));
        });
        return Math.max(0, ...errors);
    }

    /** @param {Uint32Array} got @param {Uint32Array} expected */
    const differs = (got, expected) => (got.every((word, place) => word === expected[place]) ? 0 : Infinity);

    /** @param {Machine} machine @param {Case} one @returns {Promise<Verdict>} */
    async function verdict(machine, one) {
        const { kernel, shape, tolerance } = one;
        let [error, milliseconds, reason] = [Infinity, 0, ""];
        try {
            const file = await replay.fetched(`verification/${one.file}`);
            const before = one.tensors.map(tensor => wordsBefore(tensor, file));
            const accesses = one.tensors.map(tensor => tensor.access);
            const pipeline = await replay.pipeline(machine, one.shader, one.constants, accesses);
            const start = performance.now();
            const after = await launched(machine, pipeline, one, before);
            milliseconds = performance.now() - start;
            error = judged(one, before, after, file);
        } catch (failure) {
            reason = replay.said(failure);
        }
        return { kernel, case: one.case, shape, error, tolerance, passed: error <= tolerance, milliseconds, reason };
    }

    // The page ---------------------------------------------

    /** @param {number} value */
    function short(value) {
        if (value === Infinity) return "∞";
        return value === 0 ? "0" : value.toExponential(1);
    }

    /** @param {Verdict} found */
    function showVerdict({ kernel, case: name, shape, error, tolerance, passed, milliseconds, reason }) {
        const row = document.createElement("tr");
        if (!passed) row.className = "failed";
        const verdict = passed ? "passed" : `failed${reason && `: ${reason}`}`;
        const texts = [name, short(error), short(tolerance), milliseconds.toFixed(1), verdict];
        const head = document.createElement("th");
        head.scope = "row";
        head.textContent = kernel;
        row.append(head, ...texts.map(text => Object.assign(document.createElement("td"), { textContent: text })));
        row.title = shape;
        part("cases").append(row);
    }

    /** @param {string} words @param {string} advice @param {boolean} bad */
    function summarise(words, advice, bad) {
        part("summary").textContent = words;
        part("summary").classList.toggle("bad", bad);
        part("advice").textContent = advice;
    }

    /** @param {Machine} machine @param {number} seed */
    function showSave(machine, seed) {
        const button = part("save");
        button.hidden = false;
        button.addEventListener("click", () => {
            const cases = moodshader.verification;
            const report = { adapter: machine.adapter, browser: navigator.userAgent, seed, cases };
            saveFile(JSON.stringify(report, null, 1), "verification.json", "application/json");
        });
    }

    async function verifyAll() {
        if (location.protocol === "file:") {
            const command = "In this folder run  python3 -m http.server  and open";
            const advice = `${command}  http://localhost:8000/verification.html`;
            throw new Trouble("This page needs a server, since each case is a file of its own.", advice);
        }
        const machine = await replay.open();
        /** @type {Cases} */
        const { seed, cases, shaders } = await replay.parsed("verification/cases.json");
        if (!cases?.length || !shaders) throw replay.damaged("verification/cases.json lacks cases or shaders");
        machine.sources = shaders;
        const progress = part("progress", HTMLProgressElement);
        progress.max = cases.length;
        progress.hidden = part("facts").hidden = part("scroll").hidden = false;
        part("adapter").textContent = machine.adapter;
        part("seed").textContent = String(seed);
        const start = performance.now();
        const passed = () => moodshader.verification.filter(one => one.passed).length;
        for (const one of cases) {
            const found = await verdict(machine, one);
            moodshader.verification.push(found);
            showVerdict(found);
            progress.value = moodshader.verification.length;
            const failed = progress.value - passed();
            const seconds = ((performance.now() - start) / 1000).toFixed(1);
            const told = `${seconds} s, ${progress.value} of ${cases.length} cases`;
            part("time").textContent = failed ? `${told}, ${failed} failed` : told;
        }
        const all = passed() === cases.length;
        const advice = all ? "" : "What failed without a reason differs from its reference: try a newer driver.";
        summarise(`${passed()} of ${cases.length} cases passed`, advice, !all);
        progress.hidden = true;
        showSave(machine, seed);
    }

    document.body.dataset.state = "busy";
    part("summary").textContent = "Running …";
    verifyAll()
        .catch(error => {
            const advice = error instanceof Trouble ? error.advice : "Reload the page.";
            summarise(replay.said(error), advice || "The page of moods lists the browsers that have WebGPU.", true);
        })
        .finally(() => (document.body.dataset.state = "done"));
};

if (document.body.dataset.page === "verification") verificationPage();
