import { expect, test } from 'bun:test';
import { COMMAND_TABLE } from '../command-table.ts';
import { complete, type LookUp } from './complete.ts';

const lookUp: LookUp = async (kind, prefix) =>
  [`${kind}-1`, `${kind}-2`].filter((value) => value.startsWith(prefix)).map((value) => ({ value, description: '' }));

const offered = async (line: string): Promise<string> => {
  const { candidates, files } = await complete(COMMAND_TABLE, line.split(' '), lookUp, ['compose']);
  return candidates.map(({ value }) => value).join(' ') + (files ? ' +files' : '');
};

for (const [line, expected] of [
  ['compo', 'compose'],
  ['contai', 'container'],
  ['container re', 'rename restart'],
  ['help net', 'network'],
  ['help network cr', 'create'],
  ['-H', ''],
  ['--tlsca', '--tlscacert'],
  ['--context ', 'contexts-1 contexts-2'],
  ['-H x --context y exec ', 'running-1 running-2'],
  ['stop running-1 ', 'running-1 running-2'],
  ['start ', 'stopped-1 stopped-2'],
  ['rm -f ', 'containers-1 containers-2'],
  ['rm -fv containers-1 containers-2 ', 'containers-1 containers-2'],
  ['exec -it running-1 ', ' +files'],
  ['run --rm --network ', 'network-modes-1 network-modes-2'],
  ['run --network=network-modes-1', '--network=network-modes-1'],
  ['run --network=network-modes-1 ', 'images-1 images-2'],
  ['run -e A=1 -p 80:80 ', 'images-1 images-2'],
  ['run images-1 --network ', ' +files'],
  ['run --restart o', 'on-failure'],
  ['run --env-file ', ' +files'],
  ['run -v ', 'volume-or-path-1 volume-or-path-2 +files'],
  ['run --cap-add SYS_P', 'SYS_PACCT SYS_PTRACE'],
  ['run --isola', '--isolation'],
  ['network connect ', 'networks-1 networks-2'],
  ['network connect networks-1 ', 'containers-1 containers-2'],
  ['inspect ', 'everything-1 everything-2'],
  ['cp ', 'container-path-1 container-path-2 +files'],
  ['rename a ', ''],
  ['ps ', ''],
  ['nosuch ', ''],
  ['nosuch x y', ''],
] as const) {
  test(`berth ${line}|`, async () => expect(await offered(line)).toBe(expected));
}
