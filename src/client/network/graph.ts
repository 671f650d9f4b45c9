/** `network graph`: the tree on stdout, the drawing into a file. */
import { writeFileSync } from 'node:fs';
import { listContainers } from '#api/client/containers.ts';
import { listNetworks } from '#api/client/networks.ts';
import { messageOf } from '#errdefs/errors.ts';
import { defineCommand, ExitError } from '../command.ts';
import { flag, text } from '../flags/flag-spec.ts';
import { graphOf, svgOf, treeOf } from './graph-model.ts';

export const graph = defineCommand({
  operands: '[NETWORK...]',
  count: [0, Infinity],
  flags: {
    all: flag('Show also containers that do not run', { shorthand: 'a' }),
    svg: text('Write a drawing to a file instead ("-": to standard output)', { typeName: 'file' }),
  },
  examples: ['berth network graph', 'berth network graph --svg networks.svg'],
  async run(context, { values, positionals }) {
    const client = context.client();
    const [networks, containers] = await Promise.all([
      listNetworks(client, new Map()),
      listContainers(client, { all: values.all, filters: new Map() }),
    ]);
    const unknown = positionals.find((name) => !networks.some((one) => one.Name === name || one.Id.startsWith(name)));
    if (unknown !== undefined) throw new ExitError(1, `Error response from daemon: network ${unknown} not found`);
    const wanted = networks.filter(
      ({ Name, Id }) => positionals.length === 0 || positionals.some((name) => name === Name || Id.startsWith(name)),
    );
    const model = graphOf(wanted, containers);
    if (values.svg === '') context.io.out(treeOf(model));
    else if (values.svg === '-') context.io.out(svgOf(model));
    else {
      try {
        writeFileSync(values.svg, svgOf(model));
      } catch (error) {
        throw new ExitError(1, `cannot write ${values.svg}: ${messageOf(error)}`);
      }
    }
  },
});
