/**
 * A daemon reduced to its pump, for kill-pump.test.ts to kill: opens one container's output over the inherited
 * descriptors 3 (and 4), says so, and logs it until both have ended, or until it is killed.
 * Arguments: exec root, log, max-size, max-file, `tty` or `pipe`, driver.
 */
import { Pump } from '#stdio/pump.ts';

const [execRoot = '', path = '', maxSize = '-1', maxFile = '1', kind = 'pipe', driver] = process.argv.slice(2);
const keepAlive = setInterval(() => {}, 1000);
const pump = await Pump.start({ execRoot });
const output = pump.open('0123456789abcdef'.repeat(4), {
  tty: kind === 'tty',
  log: {
    driver: driver === 'local' ? 'local' : 'json-file',
    path,
    maxSizeBytes: Number(maxSize),
    maxFiles: Number(maxFile),
    compress: false,
    attrs: '',
  },
});
output.start(kind === 'tty' ? { stdout: 3 } : { stdout: 3, stderr: 4 });
process.stdout.write('pumping');
await output.drained;
await pump.close();
clearInterval(keepAlive);
