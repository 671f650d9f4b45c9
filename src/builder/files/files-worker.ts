/** A Worker of the builder: hashes and places files, synchronously, a job at a time. */
import { BerthError, cancelled, kindOf, messageOf } from '#errdefs/errors.ts';
import { isolateUmask } from '#pkg/archive/unpack.ts';
import { ordinaryJit } from '#pkg/jit/jit.ts';
import { digest } from './digest.ts';
import type { FilesAnswer, FilesJob, FilesMessage, FilesResults } from './jobs.ts';
import { digestKept, filesOfKept, forgetKept, readKept } from './kept.ts';
import { forgetPlaced, placeKept } from './place-kept.ts';
import { forgetLists } from './placed-list.ts';
import { forgetTar, measureTar } from './placed-tar.ts';
import { place } from './place.ts';

declare const self: Worker;

ordinaryJit();
isolateUmask();

function resultOf(job: FilesJob, step: () => void): FilesResults[FilesJob['kind']] {
  switch (job.kind) {
    case 'digest':
      return digest(job, step);
    case 'place':
      place(job, step);
      return undefined;
    case 'kept-digest':
      return digestKept(job);
    case 'kept-read':
      return readKept(job);
    case 'kept-files':
      filesOfKept(job, step);
      return undefined;
    case 'kept-place':
      return placeKept(job, step);
    case 'kept-tar':
      return measureTar(job, step);
    case 'forget':
      break;
    default:
      job satisfies never;
  }
  forgetKept();
  forgetPlaced();
  forgetLists();
  forgetTar();
  return undefined;
}

self.onmessage = (event: MessageEvent<FilesMessage>) => {
  const { job, cancel } = event.data;
  const word = new Int32Array(cancel);
  const step = (): void => {
    if (Atomics.load(word, 0) !== 0) throw cancelled('the build was cancelled');
  };
  let answer: FilesAnswer;
  try {
    answer = { ok: true, result: resultOf(job, step) };
  } catch (error) {
    answer = { ok: false, kind: error instanceof BerthError ? kindOf(error) : 'system', message: messageOf(error) };
  }
  postMessage(answer);
};
