/** `port`. */
import { inspectContainer } from '#api/client/containers.ts';
import { defineCommand, ExitError } from '../command.ts';

export const port = defineCommand({
  operands: 'CONTAINER [PRIVATE_PORT[/PROTO]]',
  count: [1, 2],
  flags: {},
  async run(context, { positionals: [container = '', wanted] }) {
    const { NetworkSettings } = await inspectContainer(context.client(), container);
    const ports = NetworkSettings.Ports ?? {};
    const shown = (one: { HostIp: string; HostPort: string }) =>
      `${one.HostIp.includes(':') ? `[${one.HostIp}]` : one.HostIp}:${one.HostPort}`;
    if (wanted === undefined) {
      const lines = Object.entries(ports).flatMap(([key, list]) =>
        (list ?? []).map((one) => `${key} -> ${shown(one)}\n`),
      );
      context.io.out(lines.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10)).join(''));
      return 0;
    }
    const [number = ''] = wanted.split('/');
    if (!/^\d+$/.test(number)) {
      const why = `strconv.ParseUint: parsing ${JSON.stringify(number)}: invalid syntax`;
      throw new ExitError(1, `Error: invalid port (${number}): ${why}`);
    }
    const key = wanted.includes('/') ? wanted.toLowerCase() : `${wanted}/tcp`;
    const bindings = Object.hasOwn(ports, key) ? ports[key] : undefined;
    if (bindings === undefined || bindings === null || bindings.length === 0) {
      context.io.err(`Error: No public port '${key}' published for ${container}\n`);
      return 1;
    }
    context.io.out(bindings.map((one) => `${shown(one)}\n`).join(''));
    return 0;
  },
});
