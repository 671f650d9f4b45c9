/**
 * `berth oci`: an OCI runtime with runc's command line, over libcontainer alone: no daemon, no monitor. Whoever runs
 * containers through a runtime binary can run them through this.
 */
import { invalidParameter, messageOf } from '#errdefs/errors.ts';
import { commands } from '#libcontainer/oci/commands.ts';
import { setLogLevel } from '#pkg/log/log.ts';
import { call } from '#sys/call.ts';
import { close, open } from '#sys/files.ts';
import { writeStream } from '#sys/host-files.ts';
import { NR, O } from '#sys/numbers.ts';
import { type Options, type OptionTable, parseOptions, refuseUnless } from '#libcontainer/oci/options.ts';

const DEFAULT_ROOT = '/run/berth/oci';

const globalOptions: OptionTable = {
  root: 'value',
  log: 'value',
  'log-format': 'value',
  debug: 'flag',
  'systemd-cgroup': 'flag',
  rootless: 'value',
  version: 'flag',
  help: 'flag',
};

const usage = `Usage: berth oci [global options] command [options] [arguments]

Commands: ${Object.keys(commands).join(', ')}

Global options:
  --root DIR            where state is kept (default ${DEFAULT_ROOT})
  --log FILE            also write errors to FILE
  --log-format FORMAT   text or json
  --version             print the version
`;

/** As runc: containerd and podman read the last error from the log file. */
function report(options: Options | undefined, error: unknown): void {
  const message = messageOf(error);
  writeStream(2, `berth oci: ${message}\n`);
  const file = options?.value('log');
  if (file === undefined || file === '') return;
  const time = new Date().toISOString();
  const line =
    options?.value('log-format') === 'json'
      ? JSON.stringify({ level: 'error', msg: message, time })
      : `time="${time}" level=error msg=${JSON.stringify(message)}`;
  try {
    const fd = open(file, O.WRONLY | O.CREAT | O.APPEND, 0o666);
    writeStream(fd, `${line}\n`);
    close(fd);
  } catch (failure) {
    writeStream(2, `berth oci: cannot write the log file: ${messageOf(failure)}\n`);
  }
}

/** Exit code. */
export async function ociMain(argv: readonly string[]): Promise<number> {
  let options: Options | undefined;
  try {
    options = parseOptions(argv, globalOptions, { v: 'version', h: 'help' });
    if (options.flag('version')) {
      const [{ OCI_VERSION }, { VERSION }] = await Promise.all([
        import('#libcontainer/spec.ts'),
        import('#client/version.ts'),
      ]);
      writeStream(1, `berth oci version ${VERSION}\nspec: ${OCI_VERSION}\n`);
      return 0;
    }
    setLogLevel(options.flag('debug') ? 'debug' : 'error');
    const [name, ...rest] = options.rest;
    if (options.flag('help') || name === undefined) {
      writeStream(1, usage);
      return name === undefined && !options.flag('help') ? 1 : 0;
    }
    refuseUnless(options, 'log-format', ['text', 'json']);
    refuseUnless(options, 'rootless', ['auto', 'false']);
    if (options.flag('systemd-cgroup')) throw invalidParameter('--systemd-cgroup is not supported');
    const command = commands[name];
    if (command === undefined) throw invalidParameter(`unknown command "${name}"`);
    const root = options.value('root') ?? DEFAULT_ROOT;
    const print = (text: string) => writeStream(1, text);
    return await command.run(parseOptions(rest, command.options, command.aliases), { root, print });
  } catch (error) {
    report(options, error);
    return 1;
  }
}

/** The runtime's own exit takes milliseconds; everything has been written by then. */
export function exitNow(code: number): never {
  call(NR.exit_group, code);
  throw new Error('exit_group returned');
}

if (import.meta.main) exitNow(await ociMain(process.argv.slice(2)));
