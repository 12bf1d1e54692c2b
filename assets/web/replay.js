"use strict";
// Loads an exported site and replays its plan on WebGPU: the same shaders, launches and bytes that the
// command line program uses.

/** What a person can be told: what went wrong, and what helps. */
class Trouble extends Error {
    /**
     * @param {string} message @param {string} advice what to do next
     * @param {"webgpu" | "other"} about whether this browser has no WebGPU to use
     */
    constructor(message, advice = "", about = "other") {
        super(message);
        this.advice = advice;
        this.about = about;
    }
}

/**
 * What the page has found, for people who look and for tests.
 * `results`: one of each recording heard, see `Result`; only the newest has its `logMel`, the others an empty one.
 * `verification`: one of each case run, see `Verdict`.
 * @type {{results: Result[], verification: Verdict[]}}
 */
var moodshader = { results: [], verification: [] };

const replay = (() => {
    // What every adapter accepts as the offset of a uniform binding.
    const ALIGNMENT = 256;
    // STORAGE, UNIFORM, COPY_SRC and COPY_DST, by number: where there is no WebGPU, the names are missing too.
    const USAGE = 0x80 | 0x40 | 0x04 | 0x08;
    const INCOMPLETE = "Put the whole exported folder there, or export it again.";
    const AGAIN = "If it is lost again, reload the page, or close others that use the GPU.";
    const RELOAD = "Reload the page. If that does not help, close others that use the GPU, or update its driver.";

    // What a plan must have, besides what its programs point at.
    const NEEDED = [
        "made_by model.name model.outputs.0 model.moods audio.sample_rate audio.step audio.before audio.samples",
        "audio.slack audio.windows audio.inaudible spectrogram.mels spectrogram.frames spectrogram.hz.0",
        "spectrogram.unit shaders weights.file weights.bytes features.programs.0 prediction.programs.0",
    ];

    // The site's files -------------------------------------

    /** @param {string} reason */
    const damaged = reason => new Trouble(`This site is damaged: ${reason}.`, INCOMPLETE);

    /** @param {string} path @param {RequestCache} cache @returns {Promise<ArrayBuffer>} */
    async function fetched(path, cache = "default") {
        const unreachable = (/** @type {unknown} */ error) => {
            throw new Trouble(`${path} cannot be loaded: ${said(error)}.`, "Reload the page once the server is up.");
        };
        const response = await fetch(path, { cache }).catch(unreachable);
        if (!response.ok) throw new Trouble(`${path} cannot be loaded: status ${response.status}.`, INCOMPLETE);
        return response.arrayBuffer().catch(unreachable);
    }

    /** @param {ArrayBuffer} bytes */
    const decoded = bytes => new TextDecoder().decode(bytes);

    /** JSON as it is now: its name is that of older exports too. @param {string} path @returns {Promise<any>} */
    async function parsed(path) {
        const words = decoded(await fetched(path, "no-cache"));
        try {
            return JSON.parse(words);
        } catch {
            throw damaged(`${path} is not whole`);
        }
    }

    /** @returns {Promise<Site>} */
    async function fromServer() {
        const plan = checkedPlan(await parsed("plan.json"));
        const names = Object.keys(plan.shaders);
        const [weights, ...texts] = await Promise.all([
            fetched(plan.weights.file),
            ...names.map(async name => decoded(await fetched(plan.shaders[name]))),
        ]);
        const sources = Object.fromEntries(names.map((name, place) => [name, texts[place]]));
        return { plan, sources, weights: new Uint8Array(weights) };
    }

    /**
     * A page that was opened as a file may not fetch other files, but it may run a script beside it.
     * @returns {Promise<Site>}
     */
    async function fromScript() {
        const global = /** @type {any} */ (globalThis);
        // Only once, also after the GPU was lost.
        if (!global.MOODSHADER_DATA) await new Promise((loaded, failed) => {
            const script = document.createElement("script");
            script.src = "data.js";
            script.addEventListener("load", loaded);
            script.addEventListener("error", () => failed(new Trouble("data.js cannot be loaded.", INCOMPLETE)));
            document.head.append(script);
        });
        const data = global.MOODSHADER_DATA;
        if (!data?.plan || !data.shaders || !data.weights) throw damaged("data.js is not whole");
        const plan = checkedPlan(data.plan);
        // The text is not needed twice.
        if (typeof data.weights === "string") {
            const letters = atob(data.weights);
            data.weights = new Uint8Array(letters.length).map((_, place) => letters.charCodeAt(place));
        }
        return { plan, sources: data.shaders, weights: data.weights };
    }

    /** @param {any} plan @returns {Plan} */
    function checkedPlan(plan) {
        if (plan?.format !== "moodshader site") throw damaged("its plan is none");
        if (plan.version !== 1) throw new Trouble("The plan is of another version than this page.", "Export it again.");
        if (plan.unfinished) throw new Trouble("This site is not finished: its export was stopped.", "Export it again.");
        for (const path of NEEDED.join(" ").split(" ")) {
            const found = path.split(".").reduce((part, key) => part?.[key], plan);
            if (found === undefined) throw damaged(`its plan has no ${path}`);
        }
        return plan;
    }

    /** Whether what they point at is there. @param {Programs} programs @param {Bytes} weights */
    function checkStretches({ buffers, contents, programs }, weights) {
        const stretches = programs.flatMap(({ inputs, outputs, steps }) => {
            return [...Object.values(inputs), ...Object.values(outputs), ...steps.flatMap(step => step.bindings)];
        });
        const inside = [...stretches, ...contents].every(({ buffer, offset, size }) => {
            return offset >= 0 && size >= 0 && offset + size <= buffers[buffer]?.bytes;
        });
        const known = contents.every(({ type, at, size }) => {
            return at >= 0 && at + (type === "float16" ? size / 2 : size) <= weights.length;
        });
        if (!inside || !known) throw damaged("its plan points outside its buffers or weights");
    }

    /** @returns {Promise<Site>} */
    async function loadSite() {
        const site = await (location.protocol === "file:" ? fromScript() : fromServer());
        if (site.weights.length !== site.plan.weights.bytes) {
            throw damaged("its weights are not whole");
        }
        return site;
    }

    // The device -------------------------------------------

    /**
     * With default limits and no features, so that what runs on one adapter runs on all.
     * @returns {Promise<Machine>} without its shaders
     */
    async function open() {
        if (!navigator.gpu) {
            const why = isSecureContext ? "This browser has no WebGPU, or it is off." : "http:// pages have no WebGPU.";
            throw new Trouble(why, "", "webgpu");
        }
        const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
        if (!adapter) throw new Trouble("This browser has WebGPU, but found no GPU that it uses.", "", "webgpu");
        const device = await adapter.requestDevice().catch(error => {
            throw new Trouble(`The GPU cannot be opened: ${error.message}`, RELOAD, "webgpu");
        });
        // The first browsers with WebGPU do not tell.
        /** @type {Partial<GPUAdapterInfo>} */
        const { description, vendor, architecture, isFallbackAdapter } = adapter.info ?? {};
        return {
            device,
            adapter: description || [vendor, architecture].filter(Boolean).join(" ") || "a GPU without a name",
            software: isFallbackAdapter || architecture === "swiftshader",
            sources: {},
            modules: new Map(),
            pipelines: new Map(),
        };
    }

    /**
     * Does what WebGPU tells the failures of only on request, and throws them.
     * @template T @param {Machine} machine @param {string} what for people: "the buffers" @param {() => T} work
     * @returns {Promise<T>}
     */
    async function checked(machine, what, work) {
        const { device } = machine;
        const kinds = /** @type {const} */ (["internal", "validation", "out-of-memory"]);
        for (const kind of kinds) device.pushErrorScope(kind);
        /** @type {T} */
        let done;
        /** @type {Promise<GPUError | null>[]} */
        let errors;
        try {
            done = work();
        } finally {
            errors = kinds.map(() => device.popErrorScope());
        }
        const error = (await Promise.all(errors)).find(Boolean);
        if (!error) return done;
        if (error instanceof GPUOutOfMemoryError) {
            throw new Trouble(`The GPU has no memory for ${what}.`, "Close what else uses it and reload the page.");
        }
        // What the page asks for is what the site's files say.
        if (error instanceof GPUValidationError) throw damaged(`the GPU refuses ${what}: ${error.message.trim()}`);
        throw new Trouble(`The GPU refuses ${what}: ${error.message}`, "Try another browser.");
    }

    /**
     * A lost device makes whatever waits for it fail in words that help nobody.
     * @template T @param {Machine} machine @param {Promise<T>} work @returns {Promise<T>}
     */
    async function unlessLost(machine, work) {
        try {
            return await work;
        } catch (error) {
            const moment = new Promise(resolve => setTimeout(resolve, 300));
            const lost = await Promise.race([machine.device.lost, moment]);
            if (lost instanceof GPUDeviceLostInfo) {
                throw new Trouble(`The GPU was lost: ${lost.message || "the browser gives no reason."}`, AGAIN);
            }
            throw error;
        }
    }

    // Pipelines and bind groups ----------------------------

    /**
     * Compiled once for all steps that share shader, constants and accesses.
     * @param {Machine} machine @param {string} shader @param {Constants} constants @param {Access[]} accesses
     * @returns {Promise<GPUComputePipeline>}
     */
    function pipeline(machine, shader, constants, accesses) {
        const key = JSON.stringify([shader, constants, accesses]);
        const known = machine.pipelines.get(key);
        if (known) return known;
        const made = compile(machine, shader, constants, accesses);
        machine.pipelines.set(key, made);
        return made;
    }

    /**
     * @param {Machine} machine @param {string} shader @param {Constants} constants @param {Access[]} accesses
     * @returns {Promise<GPUComputePipeline>}
     */
    async function compile({ device, modules, sources }, shader, constants, accesses) {
        if (!(shader in sources)) throw damaged(`the shader ${shader} is missing`);
        const module = modules.get(shader) ?? device.createShaderModule({ label: shader, code: sources[shader] });
        modules.set(shader, module);
        const types = [/** @type {const} */ ("uniform"), ...accesses.map(bindingType)];
        const visibility = GPUShaderStage.COMPUTE;
        const entries = types.map((type, binding) => ({ binding, visibility, buffer: { type } }));
        const layout = device.createPipelineLayout({ bindGroupLayouts: [device.createBindGroupLayout({ entries })] });
        try {
            const compute = { module, entryPoint: "main", constants };
            return await device.createComputePipelineAsync({ label: shader, layout, compute });
        } catch (error) {
            const told = (await module.getCompilationInfo()).messages.find(message => message.type === "error");
            const reason = told ? `line ${told.lineNum}: ${told.message}` : said(error);
            const advice = "If other browsers do not either, export the site again.";
            throw new Trouble(`This browser does not accept the shader ${shader}: ${reason}`, advice);
        }
    }

    /** @param {Access} access @returns {GPUBufferBindingType} */
    function bindingType(access) {
        if (access === "read") return "read-only-storage";
        return access === "uniform" ? "uniform" : "storage";
    }

    /**
     * All parameter blocks in one buffer.
     * @param {GPUDevice} device @param {number[][]} blocks @returns {GPUBufferBinding[]} one of each block
     */
    function parameterBlocks(device, blocks) {
        const sizes = blocks.map(words => Math.max(16, Math.ceil(words.length / 4) * 16));
        /** @type {number[]} */
        const offsets = [];
        let end = 0;
        for (const size of sizes) {
            offsets.push(end);
            end += Math.ceil(size / ALIGNMENT) * ALIGNMENT;
        }
        const usage = GPUBufferUsage.UNIFORM;
        const buffer = device.createBuffer({ label: "Blocks", size: end, usage, mappedAtCreation: true });
        const all = new Uint32Array(buffer.getMappedRange());
        blocks.forEach((words, place) => all.set(words, offsets[place] / 4));
        buffer.unmap();
        return sizes.map((size, place) => ({ buffer, offset: offsets[place], size }));
    }

    /**
     * @param {GPUDevice} device @param {GPUComputePipeline} pipeline
     * @param {GPUBufferBinding[]} resources by binding @returns {GPUBindGroup}
     */
    function bindGroup(device, pipeline, resources) {
        const entries = resources.map((resource, binding) => ({ binding, resource }));
        return device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
    }

    // Programs ---------------------------------------------

    /** float16 as float32. @param {Uint16Array} halves @returns {Float32Array<ArrayBuffer>} */
    function widened(halves) {
        return Float32Array.from(halves, bits => {
            const exponent = (bits >> 10) & 31;
            const fraction = bits & 1023;
            const sign = bits >> 15 ? -1 : 1;
            if (exponent === 31) return fraction ? NaN : sign * Infinity;
            return sign * (exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24);
        });
    }

    /**
     * What a buffer holds from the start.
     * @param {Content} content @param {Bytes} weights @returns {Bytes | Float32Array<ArrayBuffer>}
     */
    function stored({ type, at, size }, weights) {
        if (type !== "float16") return weights.subarray(at, at + size);
        return widened(new Uint16Array(weights.slice(at, at + size / 2).buffer));
    }

    /**
     * Makes all that replaying needs, once.
     * @param {Machine} machine @param {Programs} programs @param {Bytes} weights
     * @returns {Promise<Prepared>}
     */
    async function prepare(machine, programs, weights) {
        const { device } = machine;
        checkStretches(programs, weights);
        const steps = programs.programs.flatMap(program => program.steps);
        const compiled = Promise.all(
            steps.map(({ shader, constants, bindings }) => {
                return pipeline(machine, shader, constants, bindings.map(binding => binding.access));
            }),
        );
        const buffers = await checked(machine, "the model's buffers", () => {
            const make = (/** @type {{name: string, bytes: number}} */ { name, bytes }) =>
                device.createBuffer({ label: name, size: bytes, usage: USAGE });
            const made = programs.buffers.map(make);
            for (const content of programs.contents) {
                device.queue.writeBuffer(made[content.buffer], content.offset, stored(content, weights));
            }
            return made;
        });
        const pipelines = await compiled;
        const ready = await checked(machine, "the model's bindings", () => {
            const blocks = parameterBlocks(device, steps.map(step => step.parameters));
            const launches = steps.map((step, place) => {
                const tensors = step.bindings.map(({ buffer, ...range }) => ({ buffer: buffers[buffer], ...range }));
                const group = bindGroup(device, pipelines[place], [blocks[place], ...tensors]);
                return { pipeline: pipelines[place], group, workgroups: step.workgroups };
            });
            return programs.programs.map(({ clips, inputs, outputs, steps }) => {
                const size = Object.values(outputs).reduce((sum, range) => sum + range.size, 0);
                const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
                const staging = device.createBuffer({ label: "Staging", size, usage });
                return { clips, inputs, outputs, launches: launches.splice(0, steps.length), staging };
            });
        });
        return { machine, buffers, programs: ready };
    }

    /** Records all launches. @param {GPUCommandEncoder} encoder @param {Launch[]} launches */
    function record(encoder, launches) {
        const pass = encoder.beginComputePass();
        for (const { pipeline, group, workgroups } of launches) {
            pass.setPipeline(pipeline);
            pass.setBindGroup(0, group);
            pass.dispatchWorkgroups(...workgroups);
        }
        pass.end();
    }

    /**
     * One program in one submit, and its outputs.
     * @param {Prepared} prepared @param {Ready} program @param {Tensors} inputs of as many clips as it takes
     * @returns {Promise<Tensors>}
     */
    async function runProgram({ machine, buffers }, program, inputs) {
        const { device } = machine;
        const { staging } = program;
        const submitted = checked(machine, "a launch", () => {
            for (const [name, { buffer, offset }] of Object.entries(program.inputs)) {
                device.queue.writeBuffer(buffers[buffer], offset, inputs[name]);
            }
            const encoder = device.createCommandEncoder();
            record(encoder, program.launches);
            let end = 0;
            for (const { buffer, offset, size } of Object.values(program.outputs)) {
                encoder.copyBufferToBuffer(buffers[buffer], offset, staging, end, size);
                end += size;
            }
            device.queue.submit([encoder.finish()]);
        });
        try {
            await unlessLost(machine, Promise.all([submitted, staging.mapAsync(GPUMapMode.READ)]));
            let end = 0;
            const outputs = Object.entries(program.outputs).map(([name, { size }]) => {
                end += size;
                return [name, new Float32Array(staging.getMappedRange(end - size, size).slice(0))];
            });
            return Object.fromEntries(outputs);
        } finally {
            // After a failure too, so that the next run can map it.
            staging.unmap();
        }
    }

    /**
     * Any number of clips: as many as a program takes at a time, the rest by smaller ones.
     * @param {Prepared} prepared @param {number} count of clips @param {Tensors} inputs @returns {Promise<Tensors>}
     */
    async function run(prepared, count, inputs) {
        /** @type {Tensors} */
        const outputs = {};
        for (let done = 0; done < count; ) {
            const program = prepared.programs.find(({ clips }) => clips <= count - done);
            if (!program) throw damaged("its plan has no program for a single clip");
            /** @type {Tensors} */
            const part = {};
            for (const name of Object.keys(program.inputs)) {
                const each = inputs[name].length / count;
                part[name] = inputs[name].subarray(done * each, (done + program.clips) * each);
            }
            for (const [name, values] of Object.entries(await runProgram(prepared, program, part))) {
                const each = values.length / program.clips;
                outputs[name] ??= new Float32Array(each * count);
                outputs[name].set(values, done * each);
            }
            done += program.clips;
        }
        return outputs;
    }

    /** Loads the site and makes the model ready. @returns {Promise<Listener>} */
    async function listener() {
        const machine = await open();
        try {
            const { plan, sources, weights } = await loadSite();
            machine.sources = sources;
            const parts = [plan.features, plan.prediction];
            const prepared = Promise.all(parts.map(programs => prepare(machine, programs, weights)));
            const [features, prediction] = await unlessLost(machine, prepared);
            return { plan, machine, features, prediction };
        } catch (error) {
            throw error instanceof Trouble ? error : damaged(`its plan or data are wrong (${said(error)})`);
        }
    }

    /** @param {unknown} error @returns {string} */
    function said(error) {
        return error instanceof Error ? error.message : String(error);
    }

    const forVerification = { USAGE, damaged, fetched, parsed, open, pipeline, parameterBlocks, bindGroup, record, checked, unlessLost };
    return { listener, run, said, ...forVerification };
})();
