/**
 * Entry of the pump's Worker. It finishes what an earlier daemon was killed over, then runs the loop until it is told to
 * stop; its event loop is never returned to meanwhile.
 */
import { messageOf } from '#errdefs/errors.ts';
import { LogEncoder } from '#logger/json-file/encoder.ts';
import { CompactEncoder } from '#logger/local/encoder.ts';
import { ordinaryJit } from '#pkg/jit/jit.ts';
import { wallClockNs } from './clock.ts';
import { Journal } from './journal.ts';
import { type LogServices, LogSink } from './log-sink.ts';
import type { PumpEvent, PumpOptions } from './protocol.ts';
import { PumpLoop } from './pump-loop.ts';

declare const self: Worker;

const emit = (event: PumpEvent) => self.postMessage(event);

function recover(services: LogServices): string | undefined {
  const recovered = services.journal.recover();
  if (recovered === undefined) return undefined;
  try {
    return LogSink.recover(services, recovered);
  } catch (error) {
    // The container's directory has gone, or its disk is full: this chunk is lost, the others' must not wait for it.
    services.journal.commit();
    services.logFailed({ path: '', error: messageOf(error), lines: 0, bytes: 0 });
    return undefined;
  }
}

function run(options: PumpOptions): void {
  using journal = new Journal(options.journal);
  const nowNs = wallClockNs();
  const encoder = new LogEncoder(nowNs);
  const services: LogServices = {
    journal,
    encoder,
    compact: new CompactEncoder(encoder.u8, nowNs),
    logFailed: (loss) => emit({ type: 'log-failed', ...loss }),
    rotated: ({ path, driver, maxFiles, compress }, ino) => {
      if (compress) emit({ type: 'rotated', path, driver, maxFiles, ino: String(ino) });
    },
  };
  const recovered = recover(services);
  ordinaryJit();
  const loop = new PumpLoop({ services, commands: options.commands, stallMs: options.stallMs, emit });
  emit({ type: 'ready', recovered });
  loop.run();
}

// The one message that comes this way; node:worker_threads would cost five times the Worker's start.
self.onmessage = ({ data }: MessageEvent<PumpOptions>) => {
  try {
    run(data);
    emit({ type: 'stopped' });
  } catch (error) {
    emit({ type: 'failed', error: messageOf(error) });
  }
};
