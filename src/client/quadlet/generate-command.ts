/**
 * `quadlet generate`: what contrib/berth-generator runs at boot and at each `systemctl daemon-reload`. It asks no
 * daemon: at boot there is none yet.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { type CommandContext, defineCommand, ExitError, PROGRAM } from '../command.ts';
import { flag, text } from '../flags/flag-spec.ts';
import { findSources } from './find-sources.ts';
import { generateUnits, type Unit } from './generate.ts';

const DIRECTORIES = ['/etc/berth/systemd', '/etc/containers/systemd', '/usr/share/containers/systemd'];

export const generate = defineCommand({
  operands: '[NORMAL_DIR [EARLY_DIR LATE_DIR]]',
  count: [0, 3],
  flags: {
    'dry-run': flag('Print the units instead of writing them'),
    dryrun: flag('Print the units instead of writing them', { hidden: true }),
    program: text('The program that the units call', { initial: '/usr/local/bin/berth' }),
    user: flag("Make units of a user's systemd (refused: the daemon is the host's)"),
  },
  examples: ['berth quadlet generate --dry-run', 'QUADLET_UNIT_DIRS=./units berth quadlet generate --dry-run'],
  async run(context, { values, positionals: [directory] }) {
    if (values.user)
      throw new ExitError(1, `${PROGRAM}: --user is not supported: containers are the host's, not a user's`);
    const dry = values['dry-run'] || values.dryrun;
    if (directory === undefined && !dry) throw new ExitError(1, `${PROGRAM}: NORMAL_DIR or --dry-run must be given`);
    const asked = (context.environment['QUADLET_UNIT_DIRS'] ?? '').split(':').filter((one) => one !== '');
    const { sources, problems: unread } = findSources(
      asked.length > 0 ? asked.map((one) => path.resolve(one)) : DIRECTORIES,
    );
    const { program } = values;
    const { units, problems } = generateUnits(sources, { program, deviceExists: (file) => fs.existsSync(file) });
    const wrong = [...unread, ...problems];
    for (const unit of units) {
      if (dry || directory === undefined) {
        context.io.out(`---${unit.name}---\n${unit.text}\n`);
        continue;
      }
      try {
        writeUnit(directory, unit);
      } catch (error) {
        wrong.push(`${unit.name}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    tell(context, wrong);
    return wrong.length === 0 ? 0 : 1;
  },
});

function writeUnit(directory: string, { name, text: content, links }: Unit): void {
  fs.writeFileSync(path.join(directory, name), content, { mode: 0o644 });
  for (const link of links) {
    const file = path.join(directory, link.path);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.rmSync(file, { force: true });
    fs.symlinkSync(link.target, file);
  }
}

/** systemd gives its generators SYSTEMD_SCOPE, and no journal yet: there the kernel's log is where people look. */
function tell(context: CommandContext, problems: readonly string[]): void {
  for (const problem of problems) {
    context.io.err(`${PROGRAM} quadlet: ${problem}\n`);
    if (context.environment['SYSTEMD_SCOPE'] === undefined) continue;
    try {
      fs.writeFileSync('/dev/kmsg', `<3>berth-generator: ${problem}\n`, { flag: 'a' });
    } catch {
      // Without a kernel log (a container) stderr must do.
      return;
    }
  }
}
