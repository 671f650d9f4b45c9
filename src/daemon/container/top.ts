/**
 * `top`: the host's ps is asked about the container's processes, as dockerd does, so that every option of it works. It
 * runs outside of the container and sees host pids. Where the host has none, the usual forms come from /proc.
 */
import * as fs from 'node:fs';
import type { ContainerTopResponse } from '#api/types/container.ts';
import { can } from '#container/state.ts';
import { conflict, invalidParameter, systemError } from '#errdefs/errors.ts';
import { type CommandOutcome, commandOutcome } from '#pkg/command/command.ts';
import type { Services } from '../services.ts';
import { publishContainerEvent } from './event.ts';
import { ownPs } from './own-ps.ts';

const PROGRAMS = ['/usr/bin/ps', '/bin/ps'];
/** A process that holds its memory's lock can keep ps waiting. */
const PS_LIMIT_MS = 10_000;

/** Errors: conflict when it does not run; invalid-parameter; system in the words of ps. */
export async function topContainer(
  services: Pick<Services, 'containers' | 'live' | 'events'>,
  reference: string,
  psArgs: string,
): Promise<ContainerTopResponse> {
  const record = services.containers.resolve(reference);
  const args = psArgs.trim() === '' ? '-ef' : psArgs;
  checkArguments(args);
  const live = services.live.get(record.id);
  if (record.state.status === 'restarting') {
    throw conflict(`Container ${record.id} is restarting, wait until the container is running`);
  }
  if (live === undefined || !can(record.state, 'kill')) throw conflict(`container ${record.id} is not running`);
  const pids = live.driver.cgroupOf(record.id).pids();
  const program = PROGRAMS.find((file) => fs.existsSync(file));
  const answer = program === undefined ? ownPs(pids, args) : await hostPs(program, pids, args);
  publishContainerEvent(services.events, record, 'top');
  return answer;
}

/** A column that is called PID and is none would let other processes of the host be shown. */
function checkArguments(psArgs: string): void {
  for (const [, column = '', title = ''] of psArgs.matchAll(/\s+(\S*)=\s*(PID\S*)/g)) {
    if (column !== 'pid') throw invalidParameter(`specifying "${column}=${title}" is not allowed`);
  }
}

async function hostPs(program: string, pids: readonly number[], psArgs: string): Promise<ContainerTopResponse> {
  const args = psArgs.split(/[ \t\n\v\f\r]+/).filter((word) => word !== '');
  const run = (more: readonly string[]) =>
    commandOutcome({ program, args: [...args, ...more], timeoutMs: PS_LIMIT_MS });
  let outcome = await run([`-q${pids.join(',')}`]);
  // Some options cannot be used together with -q: then all processes are listed and ours picked out.
  if (outcome.code !== 0) outcome = await run([]);
  if (outcome.code !== 0) throw systemError(`ps: ${reasonOf(outcome)}`);
  return parsePs(Buffer.from(outcome.output).toString(), new Set(pids));
}

function reasonOf({ code, message, stopped }: CommandOutcome): string {
  const [line = ''] = message.split('\n');
  if (line !== '') return line;
  return stopped ? `no answer within ${PS_LIMIT_MS / 1000} s` : `exit status ${code}`;
}

/** Errors: system when there is no column PID to know the container's processes by. */
export function parsePs(output: string, pids: ReadonlySet<number>): ContainerTopResponse {
  const [heading = '', ...lines] = output.split('\n');
  const Titles = words(heading);
  const column = Titles.indexOf('PID');
  if (column < 0) throw systemError("Couldn't find PID field in ps output");
  const Processes: string[][] = [];
  let ours = false;
  for (const line of lines) {
    const fields = words(line);
    if (fields.length === 0) continue;
    const pid = fields[column] ?? '';
    // Threads of the process above have a dash.
    if (pid !== '-') {
      if (!/^[0-9]+$/.test(pid)) throw systemError(`Unexpected pid '${pid}'`);
      ours = pids.has(Number(pid));
    }
    if (ours) Processes.push([...fields.slice(0, Titles.length - 1), fields.slice(Titles.length - 1).join(' ')]);
  }
  return { Titles, Processes };
}

/** Only ASCII blanks part fields: names may hold others. */
const words = (line: string): string[] => line.split(/[ \t\n\v\f\r]+/).filter((word) => word !== '');
