/** Runs the script on both engines and tells what differs after taking ids, times and addresses out. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { CommandOptions, CommandResult } from '../../support/command.ts';
import { type Step, steps } from './script.ts';

export interface Engine {
  readonly socket: string;
  docker(args: readonly string[], options?: CommandOptions): Promise<CommandResult>;
}

export interface Difference {
  readonly command: string;
  readonly peer: CommandResult;
  readonly ours: CommandResult;
}

export function normalise(text: string, socket: string): string {
  return text
    .replaceAll(socket, 'SOCKET')
    .replaceAll('\r\n', '\n')
    .replace(/\b[0-9a-f]{64}\b/g, 'ID64')
    .replace(/\b[0-9a-f]{12}\b/g, 'ID12')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)/g, 'TIME')
    .replace(/\b\d+\.\d+\.\d+\.\d+\b/g, 'ADDRESS')
    .replace(/\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b/g, 'MAC')
    .trimEnd();
}

async function runStep(engine: Engine, step: Step): Promise<CommandResult> {
  const options: CommandOptions = step.input === undefined ? {} : { input: step.input };
  const result = await engine.docker(step.args, step.tty ? { ...options, terminal: true } : options);
  const clean = (t: string) => {
    const text = normalise(t, engine.socket);
    return step.unordered ? text.split('\n').sort().join('\n') : text;
  };
  return { code: result.code, stdout: clean(result.stdout), stderr: clean(result.stderr) };
}

export async function compare(peer: Engine, ours: Engine): Promise<{ commands: number; differences: Difference[] }> {
  const differences: Difference[] = [];
  for (const step of steps) {
    const [a, b] = await Promise.all([runStep(peer, step), runStep(ours, step)]);
    if (a.code !== b.code || a.stdout !== b.stdout || a.stderr !== b.stderr)
      differences.push({ command: step.args.join(' '), peer: a, ours: b });
  }
  return { commands: steps.length, differences };
}

/** The list that belongs to a dockerd: CI's is 20.10, one that was chosen (support/dockerd.ts) may be 28.5. */
export async function listOf(peer: Engine): Promise<string> {
  const { stdout } = await peer.docker(['version', '--format', '{{.Server.APIVersion}}']);
  return Number(stdout.trim().split('.')[1]) >= 44 ? 'differences-28.txt' : 'differences.txt';
}

/** Allowed differences: `command<tab>reason`, one a line. The file may only shrink. */
export function allowed(name = 'differences.txt'): Map<string, string> {
  const file = path.join(import.meta.dirname, name);
  const lines = fs.readFileSync(file, 'utf8').split('\n');
  return new Map(
    lines
      .filter((l) => l !== '' && !l.startsWith('#'))
      .map((l): [string, string] => {
        const [command = '', reason = ''] = l.split('\t');
        return [command, reason];
      }),
  );
}

export function show(d: Difference): string {
  const part = (name: string, r: CommandResult) =>
    `  ${name}: ${r.code} ${JSON.stringify(r.stdout)} ${JSON.stringify(r.stderr)}`;
  return `docker ${d.command}\n${part('dockerd', d.peer)}\n${part('berth  ', d.ours)}`;
}
