/**
 * Records the shapes of dockerd's answers: `BERTH_TEST_DOCKERD=PATH/usr/sbin/dockerd bun tools/golden-shapes.ts` writes
 * test/integration/api/dockerd-shapes.json, with which a test compares ours.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { type Ask, collectShapes } from '../test/support/api-shapes.ts';
import { busyboxImage } from '../test/support/base-images.ts';
import { Dockerd } from '../test/support/dockerd.ts';

await using peer = await Dockerd.start(['--bip', '10.234.0.1/24', '--iptables=false', '--ip6tables=false']);
const image = await busyboxImage();
await peer.docker(['load', '-q', '-i', image.path]);

const ask: Ask = async (method, target, body) => {
  const response = await fetch(`http://docker${target}`, {
    method,
    unix: peer.socket,
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' ? undefined : (JSON.parse(text) as unknown) };
};

const file = path.resolve(import.meta.dirname, '../test/integration/api/dockerd-shapes.json');
fs.writeFileSync(file, `${JSON.stringify(await collectShapes(ask), undefined, 1)}\n`);
