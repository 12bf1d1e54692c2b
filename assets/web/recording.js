"use strict";
// From a file to its moods: decodes it, cuts it into clips and hears them, as the command line program does.

const recording = (() => {
    // About as many columns as a screen shows.
    const MOST_COLUMNS = 1024;
    // Clips whose log-mel is kept: about an hour, 85 MB.
    const MOST_KEPT = 1200;

    /**
     * Decoded by the browser, which resamples to the rate of the context that it is asked by.
     * @param {File} file @param {number} rate in Hz @returns {Promise<AudioBuffer>}
     */
    async function decode(file, rate) {
        if (!file.size) throw new Trouble("The file is empty.");
        const bytes = await file.arrayBuffer().catch(() => {
            throw new Trouble("The file cannot be read.", "Was it moved, or is it a folder? Choose it again.");
        });
        try {
            const sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes);
            if (sound.length) return sound;
        } catch {
            throw new Trouble(
                "This browser cannot decode it: not audio, damaged, too long, or of a kind it does not know.",
                "WAV, MP3, FLAC and M4A are known to most browsers.",
            );
        }
        throw new Trouble("It has no sound in it.");
    }

    /**
     * Which clips are heard.
     * @param {Plan["audio"]} audio @param {number} length in samples
     * @param {boolean} all not only as many as the model's preset asks for
     * @returns {{count: number, places: number[]}}
     */
    function cut({ step, slack, windows }, length, all) {
        const count = Math.max(1, Math.floor((length + slack) / step));
        const heard = all || windows === null ? count : Math.min(windows, count);
        // The middles of as many equal parts; all places where as many are heard.
        const places = Array.from({ length: heard }, (_, part) => Math.floor(((2 * part + 1) * count) / (2 * heard)));
        return { count, places };
    }

    /**
     * Samples of one clip, the mean of the channels; beyond either end of the recording is silence.
     * @param {AudioBuffer} sound @param {number} from the first sample; may be negative
     * @param {Float32Array} into as long as the clip; zeros
     */
    function mix(sound, from, into) {
        const start = Math.max(0, from);
        const end = Math.min(sound.length, from + into.length);
        for (let channel = 0; channel < sound.numberOfChannels; channel++) {
            const samples = sound.getChannelData(channel);
            for (let place = start; place < end; place++) into[place - from] += samples[place];
        }
        if (sound.numberOfChannels === 1) return;
        for (let place = 0; place < into.length; place++) into[place] /= sound.numberOfChannels;
    }

    /**
     * Fewer columns: each the mean of its frames.
     * @param {Float32Array} rows [mels, frames] @param {number} frames @param {Float32Array} into [mels, columns]
     * @param {number} columns
     */
    function narrow(rows, frames, into, columns) {
        for (let place = 0; place < into.length; place++) {
            const row = Math.floor(place / columns) * frames;
            const column = place % columns;
            const start = Math.floor((column * frames) / columns);
            const end = Math.floor(((column + 1) * frames) / columns);
            let sum = 0;
            for (let frame = start; frame < end; frame++) sum += rows[row + frame];
            into[place] = sum / (end - start);
        }
    }

    /**
     * A byte for each value, from the least to the greatest.
     * @param {Float32Array} values @returns {Pick<Picture, "values" | "low" | "high">}
     */
    function quantised(values) {
        const low = values.reduce((least, value) => Math.min(least, value), Infinity);
        const high = values.reduce((most, value) => Math.max(most, value), -Infinity);
        const scale = high > low ? 255 / (high - low) : 0;
        return { values: Uint8Array.from(values, value => Math.round((value - low) * scale)), low, high };
    }

    /**
     * The mean over the clips in float64, rounded to float32.
     * @param {HeardClip[]} clips @param {number} outputs @returns {number[]}
     */
    function mean(clips, outputs) {
        return Array.from({ length: outputs }, (_, output) => {
            const sum = clips.reduce((sum, clip) => sum + clip.probabilities[output], 0);
            return Math.fround(sum / clips.length);
        });
    }

    /** One of several of a size, not a copy. @param {Float32Array} all @param {number} place @param {number} size */
    const partOf = (all, place, size) => all.subarray(place * size, (place + 1) * size);

    /**
     * The samples of clips, clip after clip.
     * @param {AudioBuffer} sound @param {Plan["audio"]} audio @param {number[]} places
     * @returns {Float32Array<ArrayBuffer>}
     */
    function cutOut(sound, { samples, step, before }, places) {
        const clips = new Float32Array(places.length * samples);
        places.forEach((place, clip) => mix(sound, place * step - before, partOf(clips, clip, samples)));
        return clips;
    }

    /**
     * Progress is told after every batch; between them the page can draw itself and answer.
     * @param {Listener} listener @param {string} name @param {AudioBuffer} sound
     * @param {boolean} all every clip, not only as many as the model's preset asks for
     * @param {(share: number) => void} progressed
     * @returns {Promise<{result: Result, picture: Picture}>}
     */
    async function hear({ plan, features, prediction }, name, sound, all, progressed) {
        const { audio, model } = plan;
        const { mels, frames } = plan.spectrogram;
        const seconds = sound.length / audio.sample_rate;
        const { count, places } = cut(audio, sound.length, all);
        const columns = Math.min(frames, Math.max(1, Math.floor(MOST_COLUMNS / places.length)));
        const drawn = new Float32Array(places.length * mels * columns);
        const logMel = new Float32Array(places.length > MOST_KEPT ? 0 : places.length * mels * frames);
        /** @type {HeardClip[]} */
        const clips = [];
        let silent = true;
        const most = Math.max(features.programs[0].clips, prediction.programs[0].clips);
        for (let done = 0; done < places.length; done += most) {
            const batch = places.slice(done, done + most);
            const samples = cutOut(sound, audio, batch);
            if (!samples.every(Number.isFinite)) throw new Trouble("It holds samples that are not finite numbers.");
            silent &&= samples.every(sample => Math.abs(sample) <= audio.inaudible);
            const found = await replay.run(features, batch.length, { samples });
            const { probabilities } = await replay.run(prediction, batch.length, found);
            if (!probabilities.every(Number.isFinite)) {
                throw new Trouble("The model gives no finite probabilities.", "Try another browser.");
            }
            if (logMel.length) logMel.set(found.log_mel, done * mels * frames);
            batch.forEach((place, clip) => {
                const rows = partOf(found.log_mel, clip, mels * frames);
                narrow(rows, frames, partOf(drawn, done + clip, mels * columns), columns);
                const start = (place * audio.step) / audio.sample_rate;
                const end = Math.min(((place + 1) * audio.step) / audio.sample_rate, seconds);
                clips.push({ start, end, probabilities: [...partOf(probabilities, clip, model.outputs.length)] });
            });
            progressed(clips.length / places.length);
        }
        const about = { name, seconds, silent, padded: sound.length < audio.step };
        const nothing = { probabilities: [], clips: [], logMel: new Float32Array(0) };
        const moods = silent ? nothing : { probabilities: mean(clips, model.outputs.length), clips, logMel };
        return { result: { ...about, ...moods }, picture: { columns, ...quantised(drawn), places, count } };
    }

    return { decode, hear };
})();
