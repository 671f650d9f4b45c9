/**
 * `npm run build`: dist/berth, one executable with everything in it. Entry points are the program and each Worker,
 * under their source paths, so that `new URL('./x.ts', import.meta.url)` finds them inside; commands stay in chunks of
 * their own (--splitting), because loading all of them would cost ten times the start. bunfig.toml and .env of the
 * directory it is called from are not read: they could preload code.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dir, '..');
const out = join(root, 'dist');
const target = join(out, 'berth');
const temporary = join(out, `.berth.${process.pid}`);

const workers = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((path) => /(^|\/)[a-z-]*worker\.ts$/.test(path))
  .sort();

mkdirSync(out, { recursive: true });
const started = performance.now();
const build = Bun.spawnSync(
  [
    process.execPath,
    'build',
    '--compile',
    '--bytecode',
    '--format=esm',
    '--splitting',
    '--target=bun',
    '--no-compile-autoload-bunfig',
    '--no-compile-autoload-dotenv',
    '--root=src',
    'src/cmd/berth.ts',
    ...workers.map((path) => `src/${path}`),
    `--outfile=${temporary}`,
  ],
  { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] },
);
if (build.exitCode !== 0) {
  console.error(build.stdout.toString() + build.stderr.toString());
  rmSync(temporary, { force: true });
  process.exit(1);
}

const manifest: unknown = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const version = typeof manifest === 'object' && manifest !== null && 'version' in manifest ? manifest.version : '';
const check = Bun.spawnSync([temporary, '--version'], { cwd: '/', stdio: ['ignore', 'pipe', 'inherit'] });
const said = check.stdout.toString().trim();
if (said !== `Berth version ${String(version)}`) {
  console.error(`The executable says "${said}", not the version of package.json`);
  rmSync(temporary, { force: true });
  process.exit(1);
}
renameSync(temporary, target);
const megabytes = (statSync(target).size / 1e6).toFixed(0);
console.log(
  `dist/berth: ${said}, ${megabytes} MB, ${workers.length} workers, ${((performance.now() - started) / 1000).toFixed(1)} s`,
);
