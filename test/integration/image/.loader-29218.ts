
  import * as fs from 'node:fs';
  import { loadImages } from '#image/load.ts';
  import { openStores } from '#image/testing/archives.ts';
  await using stores = await openStores({ root: process.argv[2] });
  await loadImages(stores.images, { archive: fs.createReadStream(process.argv[3]), quiet: true, tell: async () => {} });
