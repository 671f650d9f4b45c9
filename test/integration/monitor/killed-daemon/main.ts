/** A daemon to be killed: connects to the exec root, starts `run` and `gated`, says their pids, and waits for its end. */
import { TestDaemon } from '../harness.ts';

const [execRoot = '', line = ''] = process.argv.slice(2);
const daemon = await new TestDaemon(execRoot).connect();
const gated = await daemon.start('gated', 'echo never');
await gated.arrived;
const run = await daemon.run('run', line);
console.log(JSON.stringify({ monitor: daemon.client.pid, run: run.pid, gated: gated.pid }));
setInterval(() => {}, 60_000);
