/**
 * A page for people: repositories, and of each its tags, sizes and layers. One document without scripts and without
 * anything from elsewhere; names come from strangers and are escaped, and the content security policy would not run them
 * if one slipped through.
 */
import { createHash } from 'node:crypto';
import { humanSize } from '#pkg/units/size.ts';
import type { ManifestRecord, Repository } from './catalogue.ts';
import { COMMON_HEADERS, RegistryError } from './errors.ts';
import { checkName } from './names.ts';
import type { Registry } from './registry.ts';

const SHOWN_MAX = 500;
const STYLE = `
:root{color-scheme:light dark;--line:#8884;--soft:#8882}
body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin:2rem 0 .3rem;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
th{background:var(--soft);font-weight:600}td.n,th.n{text-align:right;white-space:nowrap}
code{font-size:.85em}summary{cursor:pointer}.quiet{opacity:.7}`;
const POLICY = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** Text that means nothing but itself in HTML, also inside of a quoted attribute. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"'`]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

export function pageResponse(registry: Registry, path: string, method: string): Response {
  const html = path === '/' ? overview(registry) : repositoryPage(registry, checkName(path.slice('/-/'.length)));
  const headers = {
    ...COMMON_HEADERS,
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': POLICY,
    'referrer-policy': 'no-referrer',
    'cache-control': 'no-store',
  };
  return new Response(method === 'HEAD' ? null : html, { headers });
}

function documentOf(title: string, body: string): string {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escapeHtml(title)}</title><style>${STYLE}</style></head><body>${body}</body></html>\n`;
}

function overview(registry: Registry): string {
  const { names, more } = registry.catalogue.names.page(undefined, SHOWN_MAX);
  const rows = names.map((name) => {
    const repository = registry.catalogue.repository(name);
    if (repository === undefined) return '';
    const size = bytesOf(registry, repository);
    return `<tr><td><a href="/-/${escapeHtml(name)}">${escapeHtml(name)}</a></td><td class="n">${repository.tags.size}</td><td class="n">${repository.manifests.size}</td><td class="n">${humanSize(size)}</td></tr>`;
  });
  const head = '<tr><th>Repository</th><th class="n">Tags</th><th class="n">Manifests</th><th class="n">Size</th></tr>';
  const table = rows.length === 0 ? '<p>Nothing has been pushed yet.</p>' : `<table>${head}${rows.join('\n')}</table>`;
  const total = `${registry.catalogue.names.size} ${registry.catalogue.names.size === 1 ? 'repository' : 'repositories'}`;
  const cut = more ? `, the first ${SHOWN_MAX} are shown` : '';
  return documentOf('Registry', `<h1>Registry</h1><p class="quiet">${total}${cut}</p>${table}`);
}

function repositoryPage(registry: Registry, name: string): string {
  const repository = registry.catalogue.repository(name);
  if (repository === undefined) {
    throw new RegistryError('NAME_UNKNOWN', 'repository name not known to registry', { detail: { name } });
  }
  const { names, more } = repository.tagNames.page(undefined, SHOWN_MAX);
  const tagged = new Map<string, string[]>();
  for (const tag of names) {
    const digest = repository.tags.get(tag)?.digest;
    if (digest !== undefined) tagged.set(digest, [...(tagged.get(digest) ?? []), tag]);
  }
  const parts = [...tagged].map(([digest, tags]) => tagBlock(registry, repository, digest, tags));
  const untagged = [...repository.manifests.keys()].filter((digest) => !tagged.has(digest)).length;
  const cut = more ? `, the first ${SHOWN_MAX} are shown` : '';
  const summary = `${repository.tags.size} ${repository.tags.size === 1 ? 'tag' : 'tags'}${cut}, ${untagged} other manifests, ${humanSize(bytesOf(registry, repository))}`;
  return documentOf(
    name,
    `<p><a href="/">Registry</a></p><h1>${escapeHtml(name)}</h1><p class="quiet">${summary}</p>${parts.join('\n')}`,
  );
}

function tagBlock(registry: Registry, repository: Repository, digest: string, tags: readonly string[]): string {
  const record = repository.manifests.get(digest);
  if (record === undefined) return '';
  const pushed = new Date(record.pushedMs).toISOString().replace('T', ' ').slice(0, 19);
  const facts = [
    ['Digest', `<code>${digest}</code>`],
    ['Type', kindOf(record)],
    ['Pushed', `${pushed} UTC`],
    ['Size', humanSize(manifestBytes(registry, repository, digest))],
  ];
  const rows = facts.map(([what, value]) => `<tr><th>${what}</th><td>${value}</td></tr>`).join('');
  return `<h2>${tags.map(escapeHtml).join(', ')}</h2><table>${rows}</table>${contents(registry, repository, record)}`;
}

function kindOf(record: ManifestRecord): string {
  if (record.manifests.length > 0) return `index of ${record.manifests.length} manifests`;
  const type = record.artifactType ?? record.mediaType;
  const isImage = /^application\/vnd\.(?:oci\.image\.config|docker\.container\.image)\.v1\+json$/.test(type);
  return isImage ? 'image' : `artifact <code>${escapeHtml(type)}</code>`;
}

function contents(registry: Registry, repository: Repository, record: ManifestRecord): string {
  const isIndex = record.manifests.length > 0;
  const digests = (isIndex ? record.manifests : record.blobs).slice(0, SHOWN_MAX);
  const rows = digests.map((digest) => {
    const bytes = isIndex ? manifestBytes(registry, repository, digest) : (registry.blobs.sizeOf(digest) ?? 0);
    return `<tr><td><code>${digest}</code></td><td class="n">${humanSize(bytes)}</td></tr>`;
  });
  const what = isIndex
    ? `${record.manifests.length} manifests`
    : `${record.blobs.length} blobs (configuration and layers)`;
  return `<details><summary>${what}</summary><table>${rows.join('')}</table></details>`;
}

/** A manifest with its blobs, or an index with its manifests; each blob once. */
function manifestBytes(registry: Registry, repository: Repository, digest: string): number {
  return sumOf(registry, neededBy(repository, digest));
}

function bytesOf(registry: Registry, repository: Repository): number {
  return sumOf(registry, new Set([...repository.links.keys(), ...repository.manifests.keys()]));
}

function neededBy(repository: Repository, digest: string): Set<string> {
  const all = new Set<string>();
  const queue = [digest];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    if (all.has(next)) continue;
    all.add(next);
    const record = repository.manifests.get(next);
    if (record !== undefined) queue.push(...record.manifests, ...record.blobs);
  }
  return all;
}

function sumOf(registry: Registry, digests: ReadonlySet<string>): number {
  let bytes = 0;
  for (const digest of digests) bytes += registry.blobs.sizeOf(digest) ?? 0;
  return bytes;
}
