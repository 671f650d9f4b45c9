/** `berth doctor`: what fails on this machine, why it matters, and what mends it. Exit code 1 when something fails. */
import { existsSync, readFileSync, statfsSync } from 'node:fs';
import * as path from 'node:path';
import { systemInfo, systemVersion } from '#api/client/system.ts';
import { type CommandContext, defineCommand } from '../command.ts';
import { describeFailure } from '../failure.ts';
import { text } from '../flags/flag-spec.ts';
import { goJson } from '../format/human.ts';
import { mayColour } from '../terminal/screen.ts';
import { VERSION } from '../version.ts';
import { type Finding, findings, type Machine, type Verdict } from './checks.ts';

const DATA_ROOT = '/var/lib/berth';

export const doctor = defineCommand({
  operands: '',
  count: [0, 0],
  flags: { format: text("Format output: 'json' or nothing") },
  examples: ['berth doctor'],
  async run(context, { values }) {
    if (values.format !== '' && values.format !== 'json')
      throw new Error(`unknown format "${values.format}": there is json`);
    const { address } = context.client();
    const daemon = await askDaemon(context);
    const all = [
      ...findings(thisMachine(), {
        dataRoot: daemon.dataRoot ?? DATA_ROOT,
        socket: address.kind === 'unix' ? address.path : undefined,
        nowMs: Date.now(),
      }),
      ...daemon.findings,
    ];
    if (values.format === 'json') context.io.out(`${goJson(all)}\n`);
    else context.io.out(all.map((one) => shown(one, mayColour(context))).join(''));
    const failed = all.filter((one) => one.verdict === 'failure').length;
    const warned = all.filter((one) => one.verdict === 'warning').length;
    if (values.format !== 'json') context.io.out(`\n${summary(failed, warned)}\n`);
    return failed === 0 ? 0 : 1;
  },
});

function summary(failed: number, warned: number): string {
  if (failed + warned === 0) return 'All is well.';
  const warnings = warned === 0 ? '' : `${warned} ${warned === 1 ? 'warning' : 'warnings'}`;
  if (failed === 0) return `Works; ${warnings}.`;
  return `${failed} ${failed === 1 ? 'thing' : 'things'} to mend${warned === 0 ? '' : `, ${warnings}`}.`;
}

const MARKS: Readonly<Record<Verdict, readonly [mark: string, colour: number]>> = {
  ok: ['ok', 32],
  warning: ['warn', 33],
  failure: ['FAIL', 31],
};
const MARK_WIDTH = 6;
const NAME_WIDTH = 18;

function shown({ name, verdict, found, why, fix }: Finding, colour: boolean): string {
  const [mark, code] = MARKS[verdict];
  const padded = mark.padEnd(MARK_WIDTH);
  const indent = ' '.repeat(MARK_WIDTH + NAME_WIDTH);
  const head = `${colour ? `\x1b[${code}m${padded}\x1b[0m` : padded}${name.padEnd(NAME_WIDTH)}${found}\n`;
  return verdict === 'ok' ? head : `${head}${indent}${why}\n${indent}→ ${fix}\n`;
}

interface DaemonFindings {
  readonly findings: readonly Finding[];
  readonly dataRoot?: string;
}

const LATE_MS = 5000;
const DRIFT_MS = 5000;

async function askDaemon(context: CommandContext): Promise<DaemonFindings> {
  const name = 'daemon';
  try {
    const late = new Promise<never>((_, reject) => {
      setTimeout(() => reject(new Error(`no answer within ${LATE_MS / 1000} s`)), LATE_MS).unref();
    });
    const [info, version] = await Promise.race([
      Promise.all([systemInfo(context.client()), systemVersion(context.client())]),
      late,
    ]);
    const drift = Date.parse(info.SystemTime) - Date.now();
    const found: Finding[] = [
      {
        name,
        verdict: 'ok',
        found: `${info.Name}: version ${version.Version}, ${info.Containers} containers`,
        why: '',
        fix: '',
      },
    ];
    if (Math.abs(drift) > DRIFT_MS) {
      found.push({
        name: 'daemon’s clock',
        verdict: 'warning',
        found: `${Math.round(drift / 1000)} s from ours`,
        why: 'times of logs and events, and since/until, do not mean the same there and here',
        fix: 'timedatectl set-ntp true, on both',
      });
    }
    for (const warning of info.Warnings ?? []) {
      found.push({
        name: 'daemon says',
        verdict: 'warning',
        found: warning.replace(/^WARNING: /, ''),
        why: 'what needs it is refused or has no effect',
        fix: 'see docs/limits.md',
      });
    }
    const there = version.Version === VERSION || context.client().address.kind !== 'unix';
    if (!there) {
      found.push({
        name: 'versions',
        verdict: 'warning',
        found: `daemon ${version.Version}, this client ${VERSION}`,
        why: 'the daemon was not restarted after an upgrade, or is not ours',
        fix: 'systemctl restart berth (containers go on)',
      });
    }
    return { findings: found, dataRoot: info.DockerRootDir };
  } catch (error) {
    const [first = ''] = describeFailure(error).split('\n');
    const fix = first.includes('permission denied')
      ? 'sudo usermod -aG berth $USER, then log in again'
      : 'systemctl start berth, or: berth daemon';
    return { findings: [{ name, verdict: 'failure', found: first, why: 'nothing can be run', fix }] };
  }
}

function thisMachine(): Machine {
  return {
    uid: process.getuid?.() ?? 0,
    exists: existsSync,
    read(file) {
      try {
        return readFileSync(file, 'utf8').trim();
      } catch {
        return '';
      }
    },
    freeBytes(at) {
      for (let place = at; ; place = path.dirname(place)) {
        if (!existsSync(place)) {
          if (place === '/') return undefined;
          continue;
        }
        const { bavail, bsize } = statfsSync(place);
        return bavail * bsize;
      }
    },
  };
}
