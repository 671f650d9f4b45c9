/**
 * `npm run build`: dist/berth, one executable with everything in it. Entry points are the program and each Worker
 * (`*-worker.ts`); commands stay in chunks of their own, because loading all of them would cost ten times the start.
 * bunfig.toml and .env of the directory it is called from are not read: they could preload code.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

const root = resolve(import.meta.dir, '..');
const sources = join(root, 'src');
const target = join(root, 'dist', 'berth');
const temporary = `${target}.${process.pid}`;

const workers = readdirSync(sources, { recursive: true, encoding: 'utf8' })
  .filter((path) => /(^|\/)[a-z-]*worker\.ts$/.test(path))
  .sort();

/**
 * Chunks lie beside each other in the executable, so a Worker's address relative to its source file would be wrong
 * there: it becomes absolute.
 */
const absoluteWorkers: Bun.BunPlugin = {
  name: 'absolute addresses of workers',
  setup(build) {
    build.onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => {
      const folder = relative(sources, dirname(path));
      const contents = readFileSync(path, 'utf8').replaceAll(
        /new URL\('\.\/([a-z-]*worker)\.ts', import\.meta\.url\)/g,
        (_, name: string) => `new URL('file:///$bunfs/root/${folder}/${name}.js')`,
      );
      return { contents, loader: 'ts' };
    });
  },
};

mkdirSync(dirname(target), { recursive: true });
const started = performance.now();
try {
  await Bun.build({
    entrypoints: [join(sources, 'cmd/berth.ts'), ...workers.map((path) => join(sources, path))],
    root: sources,
    target: 'bun',
    format: 'esm',
    splitting: true,
    bytecode: true,
    plugins: [absoluteWorkers],
    // Workers and streams go back to the ordinary policy (src/pkg/jit).
    compile: { outfile: temporary, autoloadDotenv: false, autoloadBunfig: false, jitPolicy: 100 },
  });
  check();
  renameSync(temporary, target);
} catch (error) {
  console.error(error instanceof AggregateError ? error.errors.map(String).join('\n') : String(error));
  rmSync(temporary, { force: true });
  process.exit(1);
}
const megabytes = (statSync(target).size / 1e6).toFixed(0);
const seconds = ((performance.now() - started) / 1000).toFixed(1);
console.log(`dist/berth: ${megabytes} MB, ${workers.length} workers, ${seconds} s`);

/** The executable runs, outside this folder, and is the version that package.json names. */
function check(): void {
  const manifest: unknown = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const version = typeof manifest === 'object' && manifest !== null && 'version' in manifest ? manifest.version : '';
  const { stdout } = Bun.spawnSync([temporary, '--version'], { cwd: '/', stdio: ['ignore', 'pipe', 'inherit'] });
  const said = stdout.toString().trim();
  if (said !== `Berth version ${String(version)}`)
    throw new Error(`The executable says "${said}", not ${String(version)}`);
}
