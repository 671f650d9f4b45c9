/** The rows of what containers are given and keep: artifacts, secrets, volumes. */
import type { TableEntry } from './command.ts';

export const DATA_COMMANDS: readonly TableEntry[] = [
  {
    names: ['artifact add'],
    summary: 'Make an artifact of files',
    load: async () => (await import('./artifact/artifact.ts')).add,
  },
  {
    names: ['artifact extract'],
    summary: 'Write the files of an artifact to a path',
    load: async () => (await import('./artifact/artifact.ts')).extract,
  },
  {
    names: ['artifact inspect'],
    summary: 'Display the manifest of one or more artifacts',
    load: async () => (await import('./system/inspect.ts')).inspectArtifacts,
  },
  {
    names: ['artifact ls', 'artifact list'],
    summary: 'List artifacts',
    load: async () => (await import('./artifact/artifact.ts')).ls,
  },
  {
    names: ['artifact pull'],
    summary: 'Download an artifact from a registry',
    load: async () => (await import('./artifact/transfer.ts')).pull,
  },
  {
    names: ['artifact push'],
    summary: 'Upload an artifact to a registry',
    load: async () => (await import('./artifact/transfer.ts')).push,
  },
  {
    names: ['artifact rm', 'artifact remove'],
    summary: 'Remove one or more artifacts',
    load: async () => (await import('./artifact/artifact.ts')).rm,
  },
  {
    names: ['secret create'],
    summary: 'Keep a value encrypted, to be given to containers',
    load: async () => (await import('./secret/secret.ts')).create,
  },
  {
    names: ['secret inspect'],
    summary: 'Display what is known of one or more secrets, but not their values',
    load: async () => (await import('./system/inspect.ts')).inspectSecrets,
  },
  {
    names: ['secret ls', 'secret list'],
    summary: 'List secrets',
    load: async () => (await import('./secret/secret.ts')).ls,
  },
  {
    names: ['secret rm', 'secret remove'],
    summary: 'Remove one or more secrets',
    load: async () => (await import('./secret/secret.ts')).rm,
  },
  {
    names: ['volume clone'],
    summary: 'Make a volume with the same contents, options and labels',
    load: async () => (await import('./volume/transfer.ts')).clone,
  },
  {
    names: ['volume create'],
    summary: 'Create a volume',
    load: async () => (await import('./volume/create.ts')).create,
  },
  {
    names: ['volume export'],
    summary: "Write a volume's contents as a tar archive",
    load: async () => (await import('./volume/transfer.ts')).exportCommand,
  },
  {
    names: ['volume import'],
    summary: 'Put the contents of a tar archive into a volume',
    load: async () => (await import('./volume/transfer.ts')).importCommand,
  },
  {
    names: ['volume inspect'],
    summary: 'Display detailed information on one or more volumes',
    load: async () => (await import('./system/inspect.ts')).inspectVolumes,
  },
  {
    names: ['volume ls', 'volume list'],
    summary: 'List volumes',
    load: async () => (await import('./volume/ls.ts')).ls,
  },
  {
    names: ['volume prune'],
    summary: 'Remove unused local volumes',
    load: async () => (await import('./volume/remove.ts')).prune,
  },
  {
    names: ['volume rename'],
    summary: 'Rename a volume that nothing uses',
    load: async () => (await import('./volume/transfer.ts')).rename,
  },
  {
    names: ['volume rm', 'volume remove'],
    summary: 'Remove one or more volumes. You cannot remove a volume that is in use by a container.',
    load: async () => (await import('./volume/remove.ts')).rm,
  },
  {
    names: ['volume update'],
    summary: 'Update a volume (cluster volumes only)',
    load: async () => (await import('./volume/remove.ts')).update,
  },
];
