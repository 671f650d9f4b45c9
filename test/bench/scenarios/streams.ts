/** Output, logs and input: what arrives is counted, so that no engine is fast by losing bytes. */
import { LINES_BYTES, SMALL } from '../images.ts';
import { ANY_NUMBER, type Round, type Scenario, throughput, timed } from '../scenario.ts';

const GIB = 1 << 30;
const LOG_BYTES = 200_000_000;
const zeros = (bytes: number) => `sh -c 'dd if=/dev/zero bs=65536 count=${bytes / 65536} 2>/dev/null'`;
const lines = (bytes: number) => `cat ${Array.from({ length: bytes / LINES_BYTES }, () => '/lines').join(' ')}`;

export const logs: Scenario = {
  name: 'logs',
  what: '200 MB of lines of 100 bytes: written, read back, the last ten',
  rounds: 3,
  warmUps: 1,
  round: async (round) => {
    const { engine } = round;
    const name = engine.fresh();
    const start = `"$@" run -d --name ${name} --network none ${SMALL} ${lines(LOG_BYTES)} > /dev/null`;
    await throughput(round, 'logs written (run -d, wait)', LOG_BYTES, `${start} && "$@" wait ${name}`, 0);
    await throughput(round, 'logs read back', LOG_BYTES, `"$@" logs ${name} | wc -c`);
    await throughput(round, 'logs read back, with times', LOG_BYTES, `"$@" logs -t ${name} | wc -c`, ANY_NUMBER);
    await timed(round, 'logs --tail 10 of 200 MB', ['logs', '--tail', '10', name]);
    await engine.run(['rm', '-f', name]);
  },
};

export const attach: Scenario = {
  name: 'attach',
  what: 'output of a container and of an exec through the client',
  rounds: 3,
  warmUps: 1,
  round: async (round) => {
    const unlogged = `"$@" run --rm --network none --log-driver none ${SMALL}`;
    await throughput(round, 'attach 1 GiB, no log', GIB, `${unlogged} ${zeros(GIB)} | wc -c`);
    await discarded(round, 'attach 1 GiB to /dev/null, no log', GIB, `${unlogged} ${zeros(GIB)} > /dev/null`);
    const logged = `"$@" run --rm --network none ${SMALL}`;
    await throughput(round, 'attach 200 MB of lines, logged', LOG_BYTES, `${logged} ${lines(LOG_BYTES)} | wc -c`);
    const name = round.engine.fresh();
    await round.engine.run(['run', '-d', '--name', name, '--network', 'none', SMALL, 'sleep', '1000']);
    await throughput(round, 'exec, 1 GiB of output', GIB, `"$@" exec ${name} ${zeros(GIB)} | wc -c`);
    const sink = `"$@" exec -i ${name} sh -c 'cat > /dev/null'`;
    await discarded(round, 'exec -i, 512 MiB of input', GIB / 2, `head -c ${GIB / 2} /dev/zero | ${sink}`);
    await round.engine.run(['rm', '-f', name]);
  },
};

async function discarded({ engine, recorder }: Round, metric: string, bytes: number, line: string): Promise<void> {
  const { ms } = await engine.shell(line);
  recorder.add(metric, engine.name, bytes / 1e3 / ms, 'MB/s');
}
