/** What the documents say exists, and what exists is documented: settings, metrics, faults, links. */
import { dirname, join, normalize } from 'node:path';
import type { TSchema } from 'typebox';
import { expect, test } from 'vitest';
import { faultKinds } from '#common/fault.ts';
import { openMetrics } from '#common/metrics.ts';
import { configurationSchema } from '../../cli/config.ts';
import { files, text } from './source.ts';

interface Shape {
  type?: string;
  properties?: Record<string, Shape>;
  patternProperties?: Record<string, Shape>;
  anyOf?: Shape[];
  items?: Shape;
  default?: unknown;
  const?: unknown;
}

/** Every key that can be set, by dotted path; `*` for a name of the user's choice. */
function keysOf(shape: Shape, path: string): { path: string; default: unknown }[] {
  if (shape.properties) {
    return Object.entries(shape.properties).flatMap(([key, inner]) =>
      keysOf(inner, path === '' ? key : `${path}.${key}`),
    );
  }
  const any = Object.values(shape.patternProperties ?? {})[0];
  const variants = shape.anyOf ?? any?.anyOf;
  if (variants)
    return variants.flatMap((variant) => keysOf(variant, `${path}.${variant.properties?.type?.const}`));
  if (shape.items?.properties) return keysOf(shape.items, path);
  return [{ path, default: shape.default }];
}

const settings = keysOf(configurationSchema as TSchema as Shape, '').filter(
  ({ path }) => !path.endsWith('.type'),
);
const markdown = files.filter((file) => file.endsWith('.md'));

test('every setting is documented with its default, and no other', () => {
  const page = text('docs/configuration.md');
  const rows = new Map(
    [...page.matchAll(/^\| `([a-zA-Z0-9.]+)` \| ([^|]*) \|/gm)].map((row) => [row[1]!, row[2]!.trim()]),
  );
  expect([...rows.keys()].sort()).toEqual(settings.map(({ path }) => path).sort());
  const wrong = settings.filter(({ path, default: value }) => {
    const written = rows.get(path) ?? '';
    return typeof value === 'object' || value === undefined ? false : written !== `\`${value}\``;
  });
  expect(wrong).toEqual([]);
});

test('every metric is documented, and no other', async () => {
  const page = text('docs/metrics.md');
  const documented = [...page.matchAll(/^\| `(fleetgate_[a-z_]+)`/gm)].map((row) => row[1]!);
  const known = (await openMetrics().registry.getMetricsAsJSON()).map(({ name }) => name);
  expect(documented.sort()).toEqual(known.sort());
});

test('dashboards and alerts speak of metrics that exist', async () => {
  const known = new Set((await openMetrics().registry.getMetricsAsJSON()).map(({ name }) => name));
  const named = files
    .filter((file) => file.startsWith('deploy/'))
    .flatMap((file) =>
      [...text(file).matchAll(/fleetgate_[a-z_]+/g)].map((match) =>
        match[0].replace(/_(bucket|sum|count)$/, ''),
      ),
    );
  expect([...new Set(named)].filter((name) => !known.has(name))).toEqual([]);
});

test('every kind of fault is explained', () => {
  const page = text('docs/faults.md');
  const documented = [...page.matchAll(/^\| `([a-z0-9-]+)` \|/gm)].map((row) => row[1]!);
  expect(documented.sort()).toEqual([...faultKinds].sort());
});

test('every relative link and anchor is alive', () => {
  const dead = markdown.flatMap((file) =>
    [...text(file).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = '']) => {
      if (/^[a-z]+:/.test(link)) return [];
      const [path = '', anchor] = link.split('#');
      const target = path === '' ? file : normalize(join(dirname(file), path));
      if (!files.includes(target) && !files.some((each) => each.startsWith(`${target.replace(/\/$/, '')}/`)))
        return [`${file}: ${link}`];
      if (anchor === undefined || !target.endsWith('.md')) return [];
      return anchorsOf(target).includes(anchor) ? [] : [`${file}: ${link}`];
    }),
  );
  expect(dead).toEqual([]);
});

const anchorsOf = (file: string): string[] =>
  [...text(file).matchAll(/^#+ (.*)$/gm)].map((heading) =>
    heading[1]!
      .toLowerCase()
      .replace(/[`*]/g, '')
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replace(/\s/g, '-'),
  );
