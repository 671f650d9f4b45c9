import { TestDaemon } from './test/support/daemon.ts';
const d = await TestDaemon.start();
console.log(d.socket, d.pid);
process.on('SIGTERM', async () => { await d[Symbol.asyncDispose](); process.exit(0); });
setInterval(()=>{}, 1e6);
