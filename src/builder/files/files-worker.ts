/** A Worker of the builder: hashes and places files, synchronously, a job at a time. */
import { BerthError, cancelled, kindOf, messageOf } from '#errdefs/errors.ts';
import { isolateUmask } from '#pkg/archive/unpack.ts';
import { ordinaryJit } from '#pkg/jit/jit.ts';
import { digest } from './digest.ts';
import type { FilesAnswer, FilesMessage } from './jobs.ts';
import { place } from './place.ts';

declare const self: Worker;

ordinaryJit();
isolateUmask();

self.onmessage = (event: MessageEvent<FilesMessage>) => {
  const { job, cancel } = event.data;
  const word = new Int32Array(cancel);
  const step = (): void => {
    if (Atomics.load(word, 0) !== 0) throw cancelled('the build was cancelled');
  };
  let answer: FilesAnswer;
  try {
    if (job.kind === 'digest') answer = { ok: true, result: digest(job, step) };
    else {
      place(job, step);
      answer = { ok: true, result: undefined };
    }
  } catch (error) {
    answer = { ok: false, kind: error instanceof BerthError ? kindOf(error) : 'system', message: messageOf(error) };
  }
  postMessage(answer);
};
