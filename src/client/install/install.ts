/** `berth install` and `berth uninstall`: puts the program on a machine, notes what it made, and takes just that away. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { writeFileAtomic } from '#pkg/atomicfile/atomicfile.ts';
import { runInForeground } from '#pkg/command/session.ts';
import { type CommandContext, defineCommand } from '../command.ts';
import { isJson } from '../config-file/config-file.ts';
import { confirmed } from '../confirm.ts';
import { flag, text } from '../flags/flag-spec.ts';
import { type Piece, piecesOf, UNITS } from './files.ts';

const NOTE = '/etc/berth/installed.json';
const GROUP = 'berth';
const DATA = ['/var/lib/berth', '/run/berth'];

const rootFlag = () => text('Below this directory instead of / (for packages); starts nothing');

interface Note {
  readonly paths: readonly string[];
  readonly group: boolean;
  readonly units: boolean;
}

export const install = defineCommand({
  operands: '',
  count: [0, 0],
  flags: {
    docker: flag('Also answer at /run/docker.sock, and to the command docker'),
    'dry-run': flag('Only show what would be made'),
    root: rootFlag(),
    'no-start': flag('Do not enable and start the units'),
  },
  examples: ['berth install', 'berth install --docker', 'berth install --root /tmp/package'],
  async run(context, { values }) {
    const { root } = values;
    const systemd = root !== '' || fs.existsSync('/run/systemd/system');
    const pieces = await piecesOf(context.table, { docker: values.docker, systemd });
    if (values['dry-run']) {
      context.io.out(pieces.map((piece) => `${piece.path}\n`).join(''));
      return;
    }
    mustBeRoot(root);
    const source = programSource();
    const known = readNote(root);
    const taken = pieces.filter(({ path: at }) => occupied(root + at) && !known.paths.includes(at));
    if (taken.length > 0) {
      throw new Error(
        `Cannot install: ${taken.map((piece) => piece.path).join(', ')} ${taken.length === 1 ? 'is' : 'are'} there already, and not ours\nMove ${taken.length === 1 ? 'it' : 'them'} away, then run it again`,
      );
    }
    // Noted before they are made, so that an uninstall finds what an interrupted install left.
    const note: Note = {
      paths: [...new Set([...known.paths, ...pieces.map((piece) => piece.path)])],
      group: known.group,
      units: systemd && root === '',
    };
    writeNote(root, note);
    for (const piece of pieces) put(root, piece, source);
    if (root !== '') return;
    if (!hasGroup()) {
      await must(context, 'groupadd', ['--system', GROUP]);
      writeNote(root, { ...note, group: true });
    }
    if (note.units) {
      await must(context, 'systemctl', ['daemon-reload']);
      if (!values['no-start']) await must(context, 'systemctl', ['enable', '--now', ...UNITS]);
    }
    context.io.out(
      note.units
        ? 'Installed. Try: berth run --rm IMAGE COMMAND\n'
        : 'Installed; there is no systemd here: start the daemon with "berth daemon"\n',
    );
  },
});

export const uninstall = defineCommand({
  operands: '',
  count: [0, 0],
  flags: {
    data: flag('Also remove all containers, images and volumes'),
    force: flag('Do not prompt for confirmation', { shorthand: 'f' }),
    root: rootFlag(),
  },
  async run(context, { values }) {
    const { root } = values;
    mustBeRoot(root);
    const note = readNote(root);
    if (note.paths.length === 0 && !values.data) throw new Error(`Nothing to uninstall: there is no ${root}${NOTE}`);
    const warning = `This will remove Berth from this machine${values.data ? ', with ALL its containers, images and volumes' : ''}.`;
    if (!values.force && !confirmed(context.io, warning)) return;
    if (note.units && root === '') await must(context, 'systemctl', ['disable', '--now', ...UNITS]);
    if (values.data) removeData(root);
    for (const at of note.paths) fs.rmSync(root + at, { force: true });
    if (note.units && root === '') await must(context, 'systemctl', ['daemon-reload']);
    if (note.group) await must(context, 'groupdel', [GROUP]);
    fs.rmSync(root + NOTE, { force: true });
    removeIfEmpty(path.dirname(root + NOTE));
    context.io.out('Removed.\n');
  },
});

function mustBeRoot(root: string): void {
  if (root === '' && process.getuid?.() !== 0) throw new Error('berth install and uninstall need root: try sudo');
}

/** The executable that runs; sources cannot be installed. */
function programSource(): string {
  if (path.basename(process.execPath).startsWith('bun')) {
    throw new Error('This is Berth from its sources: "npm run build" makes dist/berth, which can install itself');
  }
  return process.execPath;
}

function occupied(at: string): boolean {
  return fs.lstatSync(at, { throwIfNoEntry: false }) !== undefined;
}

function put(root: string, piece: Piece, source: string): void {
  const at = root + piece.path;
  fs.mkdirSync(path.dirname(at), { recursive: true });
  const temporary = `${at}.new-${process.pid}`;
  switch (piece.kind) {
    case 'file':
      writeFileAtomic(at, piece.content, { mode: piece.mode });
      fs.chmodSync(at, piece.mode);
      return;
    case 'program':
      if (fs.existsSync(at) && fs.realpathSync(at) === fs.realpathSync(source)) return;
      // A program that runs cannot be written, but its name can be given to another.
      fs.copyFileSync(source, temporary);
      fs.chmodSync(temporary, 0o755);
      fs.renameSync(temporary, at);
      return;
    case 'link':
      fs.symlinkSync(piece.target, temporary);
      fs.renameSync(temporary, at);
      return;
    default:
      piece satisfies never;
  }
}

function readNote(root: string): Note {
  const none = { paths: [], group: false, units: false };
  if (!fs.existsSync(root + NOTE)) return none;
  const value: unknown = JSON.parse(fs.readFileSync(root + NOTE, 'utf8'));
  if (!isJson(value)) return none;
  const paths = Array.isArray(value['paths']) ? value['paths'].filter((one) => typeof one === 'string') : [];
  return { paths, group: value['group'] === true, units: value['units'] === true };
}

function writeNote(root: string, note: Note): void {
  fs.mkdirSync(path.dirname(root + NOTE), { recursive: true });
  writeFileAtomic(root + NOTE, `${JSON.stringify(note, undefined, 1)}\n`, { mode: 0o644 });
}

function hasGroup(): boolean {
  return fs
    .readFileSync('/etc/group', 'utf8')
    .split('\n')
    .some((line) => line.startsWith(`${GROUP}:`));
}

/** Refuses while something is still mounted there: a bind mount would be emptied. */
function removeData(root: string): void {
  const mounts = fs
    .readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '');
  for (const directory of DATA) {
    const at = root + directory;
    const mounted = mounts.find((one) => one === at || one.startsWith(`${at}/`));
    if (mounted !== undefined) {
      throw new Error(
        `Cannot remove ${at}: ${mounted} is still mounted\nStop all containers first: berth stop $(berth ps -q)`,
      );
    }
    fs.rmSync(at, { recursive: true, force: true });
  }
}

function removeIfEmpty(directory: string): void {
  if (fs.existsSync(directory) && fs.readdirSync(directory).length === 0) fs.rmdirSync(directory);
}

async function must(context: CommandContext, program: string, args: readonly string[]): Promise<void> {
  const found = Bun.which(program);
  if (found === null) throw new Error(`Cannot run ${program}: it is not on this machine`);
  const code = await runInForeground(found, args, context.environment);
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}`);
}
