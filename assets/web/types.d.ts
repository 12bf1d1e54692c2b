// What the web files are about, for the check of their types; nothing of it is shipped.

/** A part of a buffer, in bytes. */
type Stretch = { buffer: number; offset: number; size: number };
type Access = "read" | "uniform" | "write" | "update" | "shares";
type Binding = Stretch & { tensor: string; access: Access };
/** Values of a shader's `override`s. */
type Constants = Record<string, number>;
/** One launch of a kernel; `parameters` are the words of the uniform block at binding 0. */
type Step = {
    kernel: string;
    shader: string;
    constants: Constants;
    workgroups: [number, number, number];
    parameters: number[];
    bindings: Binding[];
};
type Program = {
    clips: number;
    inputs: Record<string, Stretch>;
    outputs: Record<string, Stretch>;
    steps: Step[];
};
/** What a buffer holds from the start; it lies in the file of weights from the byte `at` on. */
type Content = Stretch & { name: string; type: "float32" | "float16" | "uint32"; at: number };
/** For several numbers of clips, most first; they share the buffers. */
type Programs = { buffers: { name: string; bytes: number }[]; contents: Content[]; programs: Program[] };

/** The file plan.json. */
type Plan = {
    format: string;
    version: number;
    /** All else is missing: the export was stopped. */
    unfinished?: boolean;
    made_by: string;
    model: {
        name: string;
        about: string | null;
        /** The name of a file beside the page. */
        licence?: string | null;
        outputs: string[];
        /** Those of the outputs that name a mood. */
        moods: string[];
        /** By output; a mood that never is sure has none. */
        thresholds: (number | null)[] | null;
        /** A recording that reaches no threshold is tagged with its most probable mood. */
        one_at_least: boolean;
        /** Whether the outputs add up to 1. */
        exclusive: boolean;
    };
    /** How a recording is cut into clips, in samples. */
    audio: {
        sample_rate: number;
        step: number;
        before: number;
        samples: number;
        slack: number;
        windows: number | null;
        /** The greatest magnitude that nobody hears. */
        inaudible: number;
    };
    spectrogram: { mels: number; frames: number; hop: number; hz: number[]; unit: string };
    /** Files by name. */
    shaders: Record<string, string>;
    weights: { file: string; bytes: number };
    features: Programs;
    prediction: Programs;
    /** Whether the site has the page that verifies the kernels. */
    verification?: boolean;
};
type Bytes = Uint8Array<ArrayBuffer>;
type Site = { plan: Plan; sources: Record<string, string>; weights: Bytes };

/** An open adapter with what was compiled for it. */
type Machine = {
    device: GPUDevice;
    adapter: string;
    /** Whether the adapter is the CPU. */
    software: boolean;
    /** Shaders by name. */
    sources: Record<string, string>;
    modules: Map<string, GPUShaderModule>;
    /** By shader, constants and layout. */
    pipelines: Map<string, Promise<GPUComputePipeline>>;
};
type Launch = { pipeline: GPUComputePipeline; group: GPUBindGroup; workgroups: [number, number, number] };
/** A program with all that replaying it needs. */
type Ready = Omit<Program, "steps"> & { launches: Launch[]; staging: GPUBuffer };
type Prepared = { machine: Machine; buffers: GPUBuffer[]; programs: Ready[] };
/** A model that is ready to hear. */
type Listener = { plan: Plan; machine: Machine; features: Prepared; prediction: Prepared };
/** Clip after clip, by name. */
type Tensors = Record<string, Float32Array<ArrayBuffer>>;

/** Seconds, and what was heard between them. */
type HeardClip = { start: number; end: number; probabilities: number[] };
type Result = {
    name: string;
    seconds: number;
    /** Nothing can be heard: there are no moods. */
    silent: boolean;
    /** Shorter than a clip: silence was added. */
    padded: boolean;
    /** By output, the mean over the clips. */
    probabilities: number[];
    clips: HeardClip[];
    /**
     * Clip after clip, [mels, frames] each; empty where there are more than an hour's clips, and once another
     * recording was heard.
     */
    logMel: Float32Array;
};
/** A spectrogram, not wider than can be seen. */
type Picture = {
    /** Of each clip. */
    columns: number;
    /** Clip after clip, [mels, columns] each, from 0 for `low` to 255 for `high`. */
    values: Uint8Array;
    low: number;
    high: number;
    /** Of the clips heard among all. */
    places: number[];
    /** Of all clips. */
    count: number;
};
/** One recording of the list. */
type Entry = {
    name: string;
    file: File;
    stage: "waiting" | "decoding" | "hearing" | "done" | "error";
    /** Of the hearing that is done. */
    share: number;
    trouble: Trouble | null;
    /** Every clip is heard, not only as many as the model's preset asks for. */
    all: boolean;
    result: Result | null;
    picture: Picture | null;
    row: HTMLLIElement;
};
type Pen = CanvasRenderingContext2D;
/** Where time lies in the pictures, in CSS pixels. */
type Across = { left: number; right: number; width: number; seconds: number };

type CaseTensor = {
    name: string;
    access: Access;
    type: "float32" | "uint32";
    /** In elements. */
    length: number;
    /** Of which its values are the sum, one after the other. */
    shares: number;
    /** Where its values lie in the case's file, in bytes. */
    at?: number;
    /** The bits that all its elements have at first. */
    fill?: number;
    /** Where the expected values lie. */
    expected?: number;
};
type Case = Omit<Step, "bindings"> & {
    case: string;
    shape: string;
    tolerance: number;
    file: string;
    /** Where the window of a uniform binding begins, in elements. */
    uniform_start?: number;
    tensors: CaseTensor[];
};
/** The file verification/cases.json. */
type Cases = { seed: number; cases: Case[]; shaders: Record<string, string> };
type Verdict = {
    kernel: string;
    case: string;
    shape: string;
    /** Infinity where a value is not finite, a word differs, or it did not run. */
    error: number;
    tolerance: number;
    passed: boolean;
    /** With upload and download. */
    milliseconds: number;
    /** Why it did not run. */
    reason: string;
};
