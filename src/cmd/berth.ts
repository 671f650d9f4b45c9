/**
 * The multi-call program: `berth daemon`, `berth oci …`, `berth registry …` and `berth monitor` are the other programs, by first word or by
 * the name it was called with (berthd, berth-oci, berth-monitor); everything else is the CLI. Each is loaded only when it
 * is meant.
 */
const BY_NAME: Readonly<Record<string, string>> = { berthd: 'daemon', 'berth-oci': 'oci', 'berth-monitor': 'monitor' };

async function main(argv: readonly string[]): Promise<number> {
  const [first, ...rest] = argv;
  // Asked for by scripts in loops: answered before anything is loaded.
  if (rest.length === 0 && (first === '--version' || first === '-v')) return version();
  if (first === 'daemon') return (await import('./berthd.ts')).daemonMain(rest);
  if (first === 'oci') {
    const { exitNow, ociMain } = await import('./oci.ts');
    exitNow(await ociMain(rest));
  }
  if (first === 'registry') return (await import('./registry.ts')).registryMain(rest);
  if (first === 'monitor') return (await import('./monitor.ts')).monitorMain(rest);
  return cli(argv);
}

async function version(): Promise<number> {
  const { VERSION } = await import('#client/version.ts');
  // node:fs alone would cost a third more than the whole runtime's start.
  console.log(`Berth version ${VERSION}`);
  return 0;
}

async function cli(argv: readonly string[]): Promise<number> {
  const [{ runCli }, { processIo }] = await Promise.all([import('#client/main.ts'), import('#client/terminal/io.ts')]);
  return runCli({ argv, environment: process.env, io: processIo() });
}

const called = process.argv0.slice(process.argv0.lastIndexOf('/') + 1);
const implied = BY_NAME[called];
const given = process.argv.slice(2);
process.exit(await main(implied === undefined ? given : [implied, ...given]));
