/** Runs the script on both engines and tells what differs after taking ids, times and addresses out. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { CommandOptions, CommandResult } from '../../support/command.ts';
import type { Step } from './step.ts';

export interface Engine {
  readonly socket: string;
  /** What its output is to say where it tells of this side: name → word. */
  readonly own?: Readonly<Record<string, string>>;
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
  const { input, tty: terminal, env } = step;
  const options: CommandOptions = {
    ...(input === undefined ? {} : { input }),
    ...(terminal === undefined ? {} : { terminal }),
    ...(env === undefined ? {} : { env }),
  };
  const own = Object.entries(engine.own ?? {});
  const args = step.args.map((arg) => own.reduce((text, [name, word]) => text.replaceAll(word, name), arg));
  const result = await engine.docker(args, options);
  if (step.code) return { code: result.code, stdout: '', stderr: '' };
  const clean = (t: string) => {
    let text = own.reduce((all, [name, word]) => all.replaceAll(name, word), t);
    text = normalise(text, engine.socket);
    if (step.ids) text = text.replace(/\b(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-ID12|[0-9a-f]{10,64})\b/g, 'ID');
    if (step.ages) text = withoutAges(text);
    if (step.sizes) text = withoutSizes(text);
    return step.unordered ? text.split('\n').sort().join('\n') : text;
  };
  return { code: result.code, stdout: clean(result.stdout), stderr: clean(result.stderr) };
}

function withoutAges(text: string): string {
  return text
    .replace(/\b(?:Less than a second|About an? \w+|\d+ (?:second|minute|hour|day|week|month|year)s?)\b/g, 'AGE')
    .replace(/\d{4}-\d\d-\d\d[ T][^"\s]+(?: [+-]\d{4} \w+)?/g, 'TIME')
    .replace(/ {2,}/g, '  ');
}

function withoutSizes(text: string): string {
  return text.replace(/\b[\d.]+(?:[kMGT]i?)?B\b|\b\d+%|\b\d+\b/g, 'SIZE').replace(/ {2,}/g, '  ');
}

export async function compare(
  peer: Engine,
  ours: Engine,
  steps: readonly Step[],
): Promise<{ commands: number; differences: Difference[] }> {
  const differences: Difference[] = [];
  for (const step of steps) {
    const [a, b] = await Promise.all([step.oursAlone ? undefined : runStep(peer, step), runStep(ours, step)]);
    if (a !== undefined && (a.code !== b.code || a.stdout !== b.stdout || a.stderr !== b.stderr))
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
