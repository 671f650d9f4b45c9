/** What the pump's loop keeps of each process's output, and of each of its two streams. */
import { close } from '#sys/files.ts';
import type { ContainerLog, LogSink } from './log-sink.ts';
import type { Command } from './protocol.ts';
import type { Target } from './target.ts';

export interface Source {
  readonly fd: number;
  readonly output: Output;
  readonly stream: 1 | 2;
  readonly pipe: boolean;
  /** Undefined: not logged, or no longer. */
  sink: LogSink | undefined;
  watched: boolean;
}

export interface Output {
  readonly id: number;
  readonly key: string;
  readonly tty: boolean;
  log: ContainerLog | undefined;
  paused: boolean;
  readonly sources: Set<Source>;
  readonly targets: Map<number, Target>;
  started: boolean;
}

/** Of a command for an output that has ended: they came with it, and nobody else closes them. */
export function closeDescriptorsOf(command: Command): void {
  if (command.op === 'attach' || command.op === 'resume') close(command.fd);
  if (command.op === 'start') for (const fd of [command.stdout, command.stderr]) if (fd >= 0) close(fd);
}
