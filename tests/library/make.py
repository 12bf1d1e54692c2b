#!/usr/bin/env python3
"""Makes a library of short songs to scan: make.py DIR [FILES], 5000 by default.

MP3, FLAC, Ogg Vorbis, M4A and Opus in folders of folders, each with a title and an artist of its own; of every
hundred files, one is broken, one silent, one of a kind that is not read. Needs ffmpeg. The same arguments give
the same songs.
"""
import os
import random
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ENDINGS = ["mp3", "flac", "ogg", "m4a", "opus"]
VOICES = 10


def ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], check=True)


def base(folder, voice, ending):
    """A tone over noise of 5 s, or silence for voice 0."""
    path = f"{folder}/{voice}.{ending}"
    tone = f"sine=frequency={110 * voice}:duration=5" if voice else "anullsrc=r=44100:cl=mono:d=5"
    noise = ["-f", "lavfi", "-i", f"anoisesrc=d=5:amplitude={0.02 * voice if voice else 0}:seed={voice}"]
    codec = {"ogg": ["-c:a", "libvorbis"], "opus": ["-c:a", "libopus"]}.get(ending, [])
    ffmpeg("-f", "lavfi", "-i", tone, *noise, "-filter_complex", "amix=2:duration=first", *codec, path)
    return path


def main():
    out = sys.argv[1]
    files = int(sys.argv[2]) if len(sys.argv) > 2 else 5000
    draw = random.Random(1)
    bases = f"{out}.bases"
    os.makedirs(bases, exist_ok=True)
    sources = {(voice, ending): base(bases, voice, ending) for voice in range(VOICES + 1) for ending in ENDINGS}
    jobs = []
    for number in range(files):
        folder = f"{out}/artist {number % 97:02}/album {number % 7}"
        os.makedirs(folder, exist_ok=True)
        ending = ENDINGS[number % len(ENDINGS)]
        voice = 0 if number % 100 == 50 else 1 + draw.randrange(VOICES)
        path = f"{folder}/{number:05} söng.{ending}"
        if number % 100 == 10:
            with open(path, "wb") as broken:
                broken.write(b"fLaC" + draw.randbytes(2000))
        elif number % 100 == 11:
            with open(f"{folder}/{number:05}.wma", "wb") as other:
                other.write(bytes.fromhex("3026b2758e66cf11") + draw.randbytes(2000))
        else:
            metadata = ["-metadata", f"title=Song {number}", "-metadata", f"artist=Artist {number % 97}"]
            jobs.append(("-i", sources[voice, ending], "-c", "copy", *metadata, path))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda job: ffmpeg(*job), jobs))
    shutil.rmtree(bases)


main()
