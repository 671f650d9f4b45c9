/** Makes a zygote and a child that waits at a gate, prints their pids, and waits to be killed. */
import { NR } from '#sys/numbers.ts';
import { Program } from '#sys/program.ts';
import { Launcher } from '#sys/zygote/launch.ts';

const launcher = new Launcher();
const program = new Program();
program.gate('never');
program.do('end', NR.exit_group, 0);
const child = await launcher.launch(program, 0);
console.log(JSON.stringify({ zygote: launcher.zygote.pid, child: child.pid }));
setInterval(() => {}, 60_000);
