/** Commands of images, where they come from and where they go: a part of the command table. */
import type { TableEntry } from './command.ts';

export const IMAGE_COMMANDS: readonly TableEntry[] = [
  {
    names: ['image build', 'build', 'builder build'],
    summary: 'Build an image from a Dockerfile',
    common: true,
    load: async () => (await import('./builder/build.ts')).build,
  },
  {
    names: ['builder cache-mount ls', 'builder cache-mount list'],
    summary: 'List the directories of cache mounts',
    load: async () => (await import('./builder/cache-mounts.ts')).listCommand,
  },
  {
    names: ['builder cache-mount export'],
    summary: 'Write a tar of what a cache mount holds',
    load: async () => (await import('./builder/cache-mounts.ts')).exportCommand,
  },
  {
    names: ['builder cache-mount import'],
    summary: 'Make a tar what a cache mount holds',
    load: async () => (await import('./builder/cache-mounts.ts')).importCommand,
  },
  {
    names: ['builder du'],
    summary: 'Show what the build cache holds',
    load: async () => (await import('./builder/cache.ts')).du,
  },
  {
    names: ['builder explain', 'build explain'],
    summary: 'Build, and say why steps were not cached',
    load: async () => (await import('./builder/explain.ts')).explain,
  },
  {
    names: ['builder prune'],
    summary: 'Remove build cache',
    load: async () => (await import('./builder/cache.ts')).prune,
  },
  {
    names: ['image auto-update', 'auto-update'],
    summary: 'Update containers whose images are newer, and put back what does not do',
    load: async () => (await import('./image/upkeep.ts')).autoUpdateCommand,
  },
  {
    names: ['image outdated'],
    summary: 'Show images that are newer in their registries',
    load: async () => (await import('./image/upkeep.ts')).outdated,
  },
  {
    names: ['image diff'],
    summary: 'Show what differs between two images',
    load: async () => (await import('./image/tree.ts')).diff,
  },
  {
    names: ['image from-host'],
    summary: 'Make an image of programs of this host and the libraries they need',
    load: async () => (await import('./image/from-host.ts')).fromHost,
  },
  {
    names: ['image history', 'history'],
    summary: 'Show the history of an image',
    load: async () => (await import('./image/history.ts')).history,
  },
  {
    names: ['image import', 'import'],
    summary: 'Import the contents from a tarball to create a filesystem image',
    load: async () => (await import('./image/import.ts')).importCommand,
  },
  {
    names: ['image inspect'],
    summary: 'Display detailed information on one or more images',
    load: async () => (await import('./system/inspect.ts')).inspectImages,
  },
  {
    names: ['image load', 'load'],
    summary: 'Load an image from a tar archive or STDIN',
    load: async () => (await import('./image/load.ts')).load,
  },
  {
    names: ['image lock'],
    summary: 'Protect images from being removed',
    load: async () => (await import('./image/upkeep.ts')).lock,
  },
  {
    names: ['image trash'],
    summary: 'Show removed images that can be brought back',
    load: async () => (await import('./image/upkeep.ts')).trash,
  },
  {
    names: ['image tree'],
    summary: 'Show images by the layers they share',
    load: async () => (await import('./image/tree.ts')).tree,
  },
  {
    names: ['image undo'],
    summary: 'Bring back the images of the last removal',
    load: async () => (await import('./image/upkeep.ts')).undo,
  },
  {
    names: ['image unlock'],
    summary: 'Let locked images be removed again',
    load: async () => (await import('./image/upkeep.ts')).unlock,
  },
  {
    names: ['image ls', 'image list', 'images'],
    summary: 'List images',
    common: true,
    load: async () => (await import('./image/ls.ts')).images,
  },
  {
    names: ['image prune'],
    summary: 'Remove unused images',
    load: async () => (await import('./system/prune.ts')).imagePrune,
  },
  {
    names: ['image copy'],
    summary: 'Copy an image from one registry to another',
    load: async () => (await import('./image/copy.ts')).copy,
  },
  {
    names: ['login'],
    summary: 'Authenticate to a registry',
    common: true,
    load: async () => (await import('./registry/login.ts')).login,
  },
  {
    names: ['logout'],
    summary: 'Log out from a registry',
    load: async () => (await import('./registry/login.ts')).logout,
  },
  {
    names: ['search'],
    summary: 'Search Docker Hub, or another registry, for images',
    load: async () => (await import('./registry/search.ts')).search,
  },
  {
    names: ['image pull', 'pull'],
    summary: 'Download an image from a registry',
    load: async () => (await import('./image/pull.ts')).pull,
  },
  {
    names: ['image push', 'push'],
    summary: 'Upload an image to a registry, or to another host over ssh',
    load: async () => (await import('./image/push.ts')).push,
  },
  {
    names: ['image rm', 'image remove', 'rmi'],
    summary: 'Remove one or more images',
    load: async () => (await import('./image/rm.ts')).rmi,
  },
  {
    names: ['image save', 'save'],
    summary: 'Save one or more images to a tar archive (streamed to STDOUT by default)',
    load: async () => (await import('./image/save.ts')).save,
  },
  {
    names: ['image tag', 'tag'],
    summary: 'Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE',
    load: async () => (await import('./image/tag.ts')).tag,
  },
  {
    names: ['manifest annotate'],
    summary: 'Add additional information to a local image manifest',
    load: async () => (await import('./manifest/commands.ts')).annotate,
  },
  {
    names: ['manifest create'],
    summary: 'Create a local manifest list for annotating and pushing to a registry',
    load: async () => (await import('./manifest/commands.ts')).create,
  },
  {
    names: ['manifest inspect'],
    summary: 'Display an image manifest, or manifest list',
    load: async () => (await import('./manifest/commands.ts')).inspect,
  },
  {
    names: ['manifest push'],
    summary: 'Push a manifest list to a repository',
    load: async () => (await import('./manifest/commands.ts')).push,
  },
  {
    names: ['manifest rm'],
    summary: 'Delete one or more manifest lists from local storage',
    load: async () => (await import('./manifest/commands.ts')).rm,
  },
];
