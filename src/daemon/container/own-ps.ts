/** The columns of ps from /proc, for hosts that have no ps: its usual layouts and `-o`. */
import * as fs from 'node:fs';
import type { ContainerTopResponse } from '#api/types/container.ts';
import { invalidParameter } from '#errdefs/errors.ts';

interface ProcessFacts {
  readonly pid: number;
  readonly ppid: number;
  readonly uid: number;
  readonly state: string;
  readonly tty: string;
  readonly cpuTicks: number;
  readonly startTicks: number;
  readonly rssKb: number;
  readonly vszKb: number;
  readonly comm: string;
  readonly args: string;
}

const TICKS_PER_SECOND = 100;

/** Columns and rows of these processes. Errors: invalid-parameter for arguments that it does not know. */
export function ownPs(pids: readonly number[], psArgs: string): ContainerTopResponse {
  const columns = columnsOf(psArgs);
  const context: Context = { users: userNames(), uptimeSeconds: uptime(), now: Date.now() };
  const processes = pids.map((pid) => factsOf(pid)).filter((facts) => facts !== undefined);
  return {
    Titles: columns.map((column) => column.title),
    Processes: processes.map((facts) => columns.map((column) => column.value(facts, context))),
  };
}

interface Context {
  readonly users: ReadonlyMap<number, string>;
  readonly uptimeSeconds: number;
  readonly now: number;
}

interface Column {
  readonly title: string;
  readonly value: (facts: ProcessFacts, context: Context) => string;
}

const user: Column['value'] = (facts, context) => context.users.get(facts.uid) ?? String(facts.uid);

const columns: Readonly<Record<string, Column>> = {
  user: { title: 'USER', value: user },
  uid: { title: 'UID', value: user },
  pid: { title: 'PID', value: (facts) => String(facts.pid) },
  ppid: { title: 'PPID', value: (facts) => String(facts.ppid) },
  c: { title: 'C', value: (facts, context) => String(Math.trunc(cpuPercent(facts, context))) },
  '%cpu': { title: '%CPU', value: (facts, context) => cpuPercent(facts, context).toFixed(1) },
  '%mem': { title: '%MEM', value: () => '0.0' },
  vsz: { title: 'VSZ', value: (facts) => String(facts.vszKb) },
  rss: { title: 'RSS', value: (facts) => String(facts.rssKb) },
  tty: { title: 'TTY', value: (facts) => facts.tty },
  stat: { title: 'STAT', value: (facts) => facts.state },
  stime: { title: 'STIME', value: startTime },
  start: { title: 'START', value: startTime },
  time: { title: 'TIME', value: cpuTime },
  comm: { title: 'COMMAND', value: (facts) => facts.comm },
  cmd: { title: 'CMD', value: (facts) => facts.args },
  args: { title: 'COMMAND', value: (facts) => facts.args },
  command: { title: 'COMMAND', value: (facts) => facts.args },
};

const layouts: Readonly<Record<string, readonly string[]>> = {
  '-ef': ['uid', 'pid', 'ppid', 'c', 'stime', 'tty', 'time', 'cmd'],
  aux: ['user', 'pid', '%cpu', '%mem', 'vsz', 'rss', 'tty', 'stat', 'start', 'time', 'command'],
};

/** `-ef`, `aux` or `-o NAME,NAME`; Errors: invalid-parameter by the name of what is not known. */
function columnsOf(psArgs: string): Column[] {
  const text = psArgs.trim() === '' ? '-ef' : psArgs.trim();
  const names = layouts[text] ?? layouts[`-${text}`] ?? layouts[text.replace(/^-/, '')] ?? customNames(text);
  return names.map((name) => {
    const column = columns[name.toLowerCase()];
    if (column === undefined) throw invalidParameter(`ps: column "${name}" is not known without ps on the host`);
    return column;
  });
}

function customNames(text: string): string[] {
  const match = /^(?:-e\s+|-A\s+)?-?o\s*(\S+)$/.exec(text);
  if (match === null)
    throw invalidParameter(`ps: arguments "${text}" need ps on the host: without it there are -ef, aux and -o`);
  return (match[1] ?? '').split(',');
}

function uptime(): number {
  return Number(fs.readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
}

function cpuPercent(facts: ProcessFacts, context: Context): number {
  const elapsed = context.uptimeSeconds - facts.startTicks / TICKS_PER_SECOND;
  return elapsed <= 0 ? 0 : (facts.cpuTicks / TICKS_PER_SECOND / elapsed) * 100;
}

function startTime(facts: ProcessFacts, context: Context): string {
  const started = new Date(context.now - (context.uptimeSeconds - facts.startTicks / TICKS_PER_SECOND) * 1000);
  const two = (n: number): string => String(n).padStart(2, '0');
  if (started.toDateString() === new Date(context.now).toDateString()) {
    return `${two(started.getHours())}:${two(started.getMinutes())}`;
  }
  return started.toDateString().slice(4, 10).replace(' ', '');
}

function cpuTime(facts: ProcessFacts): string {
  const seconds = Math.trunc(facts.cpuTicks / TICKS_PER_SECOND);
  const two = (n: number): string => String(n).padStart(2, '0');
  return `${two(Math.trunc(seconds / 3600))}:${two(Math.trunc(seconds / 60) % 60)}:${two(seconds % 60)}`;
}

/** Names of the host's users, as ps on the host shows them. */
function userNames(): Map<number, string> {
  const lines = fs.readFileSync('/etc/passwd', 'utf8').split('\n').reverse();
  // Reversed: of two names for one uid the first in the file counts.
  const fields = lines.filter((line) => line.includes(':')).map((line) => line.split(':'));
  return new Map(fields.map(([name = '', , uid = '']) => [Number(uid), name]));
}

/** undefined when the process has ended meanwhile. */
function factsOf(pid: number): ProcessFacts | undefined {
  let stat: string;
  let cmdline: string;
  let uid: number;
  try {
    stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    cmdline = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    uid = Number(/^Uid:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return undefined;
  }
  const comm = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const number = (index: number): number => Number(fields[index] ?? 0);
  const args = cmdline.split('\0').join(' ').trim();
  return {
    pid,
    ppid: number(1),
    uid,
    state: fields[0] ?? '?',
    tty: ttyName(number(4)),
    cpuTicks: number(11) + number(12),
    startTicks: number(19),
    vszKb: Math.trunc(number(20) / 1024),
    rssKb: number(21) * 4,
    comm,
    args: args === '' ? `[${comm}]` : args,
  };
}

function ttyName(device: number): string {
  const major = (device >> 8) & 0xfff;
  const minor = (device & 0xff) | ((device >> 12) & 0xfff00);
  return major >= 136 && major <= 143 ? `pts/${(major - 136) * 256 + minor}` : '?';
}
