/**
 * The multi-call program: `berth daemon`, `berth oci …` and `berth monitor` are the other programs, by first word;
 * everything else is the CLI. Each is loaded only when it is meant.
 */
import { writeSync } from 'node:fs';

async function main([first, ...rest]: readonly string[]): Promise<number> {
  // Asked for by scripts in loops: answered before anything is loaded.
  if (rest.length === 0 && (first === '--version' || first === '-v')) return version();
  if (first === 'daemon') return (await import('./berthd.ts')).daemonMain(rest);
  if (first === 'oci') return (await import('./oci.ts')).ociMain(rest);
  if (first === 'monitor') return (await import('./monitor.ts')).monitorMain(rest);
  return cli();
}

async function version(): Promise<number> {
  const { VERSION } = await import('#client/version.ts');
  writeSync(1, `Berth version ${VERSION}\n`);
  return 0;
}

async function cli(): Promise<number> {
  const [{ runCli }, { processIo }] = await Promise.all([import('#client/main.ts'), import('#client/terminal/io.ts')]);
  return runCli({ argv: process.argv.slice(2), environment: process.env, io: processIo() });
}

process.exit(await main(process.argv.slice(2)));
