/** images, inspect, history, tag and rmi with dockerd's rules and words. Needs root. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import type { ImageDeleteItem } from '#api/types/image.ts';
import { kindOf, messageOf } from '#errdefs/errors.ts';
import { imageHistory } from '#image/history.ts';
import { inspectImage } from '#image/inspect.ts';
import { listImages } from '#image/list.ts';
import { loadImages } from '#image/load.ts';
import { type ImageUser, removeImage } from '#image/remove.ts';
import { tagImage } from '#image/tag.ts';
import {
  directory,
  file,
  idOf,
  oldDockerArchive,
  openStores,
  streamOf,
  tarOf,
  type TestImage,
  type TestStores,
} from '#image/testing/archives.ts';
import { parseReference, withDigest, parseDigest } from '#reference/reference.ts';

const base = tarOf([directory('bin'), file('bin/sh', 'x'.repeat(100))]);
const top = tarOf([file('app', 'y'.repeat(23))]);
const alone = tarOf([file('alone', 'z')]);
const one: TestImage = {
  tags: ['one:1'],
  layers: [base],
  config: { Labels: { color: 'red' } },
  more: { created: '2026-01-01T00:00:00Z' },
};
const two: TestImage = {
  tags: ['me/two:latest', 'other.example/two:1'],
  layers: [base, top],
  config: { Labels: { color: 'blue', big: '' } },
  more: {
    created: '2026-02-01T00:00:00.123Z',
    history: [
      { created: '2026-01-01T00:00:00Z', created_by: 'ADD base' },
      { created: '2026-01-15T00:00:00Z', created_by: 'ENV A=1', empty_layer: true, comment: 'c' },
      { created: '2026-02-01T00:00:00Z', created_by: 'ADD top' },
    ],
  },
};
const three: TestImage = { tags: [], layers: [alone], more: { created: '2026-03-01T00:00:00Z' } };

let stores: TestStores;
beforeEach(async () => {
  stores = await openStores();
  await loadImages(stores.images, {
    archive: streamOf(oldDockerArchive([one, two, three])),
    quiet: true,
    tell: async () => undefined,
  });
});
afterEach(async () => stores[Symbol.asyncDispose]());

const ids = (filters: Record<string, string[]>, all = false): string[] =>
  listImages(stores.images, { all, sharedSize: false, filters: new Map(Object.entries(filters)) }).map((row) => row.Id);

describe('images', () => {
  test('rows, newest first', () => {
    const rows = listImages(stores.images, { all: false, sharedSize: true, filters: new Map() });
    expect(rows).toEqual([
      {
        Containers: -1,
        Created: 1_772_323_200,
        Id: idOf(three),
        Labels: null,
        ParentId: '',
        RepoDigests: [],
        RepoTags: [],
        SharedSize: 0,
        Size: 1,
      },
      {
        Containers: -1,
        Created: 1_769_904_000,
        Id: idOf(two),
        Labels: { color: 'blue', big: '' },
        ParentId: '',
        RepoDigests: [],
        RepoTags: ['me/two:latest', 'other.example/two:1'],
        SharedSize: 100,
        Size: 123,
      },
      {
        Containers: -1,
        Created: 1_767_225_600,
        Id: idOf(one),
        Labels: { color: 'red' },
        ParentId: '',
        RepoDigests: [],
        RepoTags: ['one:1'],
        SharedSize: 100,
        Size: 100,
      },
    ]);
  });
  for (const [filters, expected] of [
    [{ dangling: ['true'] }, [three]],
    [{ dangling: ['false'] }, [two, one]],
    [{ reference: ['one'] }, [one]],
    [{ reference: ['*/two'] }, [two]],
    [{ reference: ['one:*', 'me/*'] }, [two, one]],
    [{ label: ['color'] }, [two, one]],
    [{ label: ['color=red'] }, [one]],
    [{ 'label!': ['color=red'] }, [three, two]],
    [{ before: ['me/two'] }, [one]],
    [{ since: ['one:1'] }, [three, two]],
    [{ until: ['2026-01-15T00:00:00Z'] }, [one]],
  ] as const) {
    test(JSON.stringify(filters), () => {
      const wanted = Object.fromEntries(Object.entries(filters).map(([key, values]) => [key, [...values]]));
      expect(ids(wanted)).toEqual(expected.map(idOf));
    });
  }
  test('only matching names are shown', () => {
    const [row] = listImages(stores.images, {
      all: false,
      sharedSize: false,
      filters: new Map([['reference', ['me/two']]]),
    });
    expect(row?.RepoTags).toEqual(['me/two:latest']);
  });
  test('wrong filters', () => {
    expect(() => ids({ nonsense: ['x'] })).toThrow("invalid filter 'nonsense'");
    expect(() => ids({ dangling: ['maybe'] })).toThrow("invalid filter 'dangling=[maybe]'");
    expect(() => ids({ before: ['nobody'] })).toThrow('No such image: nobody:latest');
  });
});

test('an image is found by name, id, and the beginning of an id', () => {
  const { images } = stores;
  const id = idOf(two);
  for (const name of ['me/two', 'docker.io/me/two:latest', id, id.slice(7), id.slice(7, 19), id.slice(0, 20)]) {
    expect(images.resolve(name).id).toBe(id);
  }
  const digest = parseDigest(`sha256:${'d'.repeat(64)}`);
  images.tag(id, withDigest(parseReference('me/two'), digest));
  expect(images.resolve(`me/two@${digest}`).id).toBe(id);
  expect(images.resolve(`me/two:any@${digest}`).id).toBe(id);
  expect(images.get(id).digests).toEqual([`me/two@${digest}`]);
  for (const [name, message] of [
    ['one', 'No such image: one:latest'],
    ['x/y:z', 'No such image: x/y:z'],
    ['f'.repeat(64), `No such image: sha256:${'f'.repeat(64)}`],
    ['Bad', 'invalid reference format: repository name (library/Bad) must be lowercase'],
  ] as const) {
    expect(() => images.resolve(name)).toThrow(message);
  }
});

test('inspect', () => {
  const inspect = inspectImage(stores.images, 'me/two');
  expect(inspect).toMatchObject({
    Id: idOf(two),
    RepoTags: ['me/two:latest', 'other.example/two:1'],
    RepoDigests: [],
    Parent: '',
    Created: '2026-02-01T00:00:00.123Z',
    Architecture: 'amd64',
    Os: 'linux',
    Size: 123,
    RootFS: { Type: 'layers' },
    Config: { Labels: { color: 'blue', big: '' }, Env: null, Image: '' },
  });
  expect(inspect.RootFS.Layers?.length).toBe(2);
  expect(inspect.GraphDriver.Name).toBe('overlay');
  expect(inspect.GraphDriver.Data?.['UpperDir']).toContain(stores.root);
  expect(inspect.GraphDriver.Data?.['LowerDir']).toContain('/diff');
});

test('history, newest first, with sizes of layers only', () => {
  expect(imageHistory(stores.images, 'me/two')).toEqual([
    {
      Comment: '',
      Created: 1_769_904_000,
      CreatedBy: 'ADD top',
      Id: idOf(two),
      Size: 23,
      Tags: ['me/two:latest', 'other.example/two:1'],
    },
    { Comment: 'c', Created: 1_768_435_200, CreatedBy: 'ENV A=1', Id: '<missing>', Size: 0, Tags: null },
    { Comment: '', Created: 1_767_225_600, CreatedBy: 'ADD base', Id: '<missing>', Size: 100, Tags: null },
  ]);
});

test('tag: a name moves to its new image', async () => {
  expect(await tagImage(stores.images, 'one:1', 'new/name', '')).toEqual({ id: idOf(one), name: 'new/name:latest' });
  await tagImage(stores.images, 'me/two', 'one', '1');
  expect(stores.images.resolve('one:1').id).toBe(idOf(two));
  expect(stores.images.get(idOf(one)).tags).toEqual(['new/name:latest']);
  const refused = (source: string, name: string) => tagImage(stores.images, source, name, '').catch(messageOf);
  expect(await refused('nobody', 'x')).toBe('No such image: nobody:latest');
  expect(await refused('new/name', 'X')).toContain('must be lowercase');
});

describe('rmi', () => {
  const rmi = (
    image: string,
    more: { force?: boolean; users?: ImageUser[]; of?: string } = {},
  ): Promise<ImageDeleteItem[]> =>
    removeImage(stores.images, {
      image,
      force: more.force ?? false,
      noprune: false,
      containersUsing: (id) => (more.of === undefined || id === more.of ? (more.users ?? []) : []),
      collect: () => stores.graph.collect(),
    });
  const stopped: ImageUser = { id: 'c'.repeat(64), running: false };
  const running: ImageUser = { id: 'd'.repeat(64), running: true };
  const refused = async (attempt: Promise<unknown>): Promise<string> => {
    const error: unknown = await attempt.then(
      () => undefined,
      (failure: unknown) => failure,
    );
    expect(kindOf(error)).toBe('conflict');
    return messageOf(error);
  };
  const short = (image: TestImage): string => idOf(image).slice(7, 19);

  test('the last name takes the image and its own layers with it', async () => {
    expect(await rmi('me/two')).toEqual([{ Untagged: 'me/two:latest' }]);
    const rows = await rmi('other.example/two:1');
    expect(rows.length).toBe(3);
    expect(rows.slice(0, 2)).toEqual([{ Untagged: 'other.example/two:1' }, { Deleted: idOf(two) }]);
    expect(stores.images.resolve('one:1').size).toBe(100);
    const all = await rmi(idOf(one));
    expect(all.map((row) => Object.keys(row)[0])).toEqual(['Untagged', 'Deleted', 'Deleted']);
    await rmi(short(three));
    expect(stores.layers.list()).toEqual([]);
    stores.content.collect();
    expect(stores.content.list()).toEqual([]);
  });

  test('containers keep it', async () => {
    const use = { users: [stopped] };
    expect(await refused(rmi('one:1', use))).toBe(
      `conflict: unable to remove repository reference "one:1" (must force) - container cccccccccccc is using its referenced image ${short(one)}`,
    );
    expect(await refused(rmi(short(one), use))).toBe(
      `conflict: unable to delete ${short(one)} (must be forced) - image is being used by stopped container cccccccccccc`,
    );
    expect(await refused(rmi(short(one), { users: [running], force: true }))).toBe(
      `conflict: unable to delete ${short(one)} (cannot be forced) - image is being used by running container dddddddddddd`,
    );
    expect(await refused(rmi(short(two)))).toBe(
      `conflict: unable to delete ${short(two)} (must be forced) - image is referenced in multiple repositories`,
    );
    expect(await rmi('one:1', { ...use, force: true, of: idOf(one) })).toEqual([
      { Untagged: 'one:1' },
      { Deleted: idOf(one) },
    ]);
  });

  test('a name of a running container can be forced away, the image stays', async () => {
    expect(await rmi('one:1', { users: [running], force: true })).toEqual([{ Untagged: 'one:1' }]);
    expect(stores.images.get(idOf(one)).tags).toEqual([]);
  });

  test('by id with force all names go', async () => {
    const rows = await rmi(short(two), { force: true });
    expect(rows.slice(0, 3)).toEqual([
      { Untagged: 'me/two:latest' },
      { Untagged: 'other.example/two:1' },
      { Deleted: idOf(two) },
    ]);
  });

  test('the layer of a container keeps the layers below it', async () => {
    const { chainId } = stores.images.resolve('one:1');
    const container = 'e'.repeat(64);
    await stores.layers.createReadWrite(container, chainId);
    await rmi('one:1', { force: true });
    expect(stores.layers.readWrite(container)?.virtualSize()).toBe(100);
    await rmi(short(two), { force: true });
    await stores.layers.releaseReadWrite(container);
    expect((await stores.graph.collect()).length).toBe(1);
  });

  test('nobody', async () => {
    expect(await rmi('nobody').catch(messageOf)).toBe('No such image: nobody:latest');
  });
});
