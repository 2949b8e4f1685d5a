/** Imports run downward. The floors are data: a file may import from its own room and from lower floors. */
import { expect, test } from 'vitest';
import { houseSources, importsOf } from './source.ts';

/** Longest prefix wins. A room is the folder that a prefix names. */
const floors: Record<string, number> = {
  'common/': 0,
  'common/x509/': 1,
  'common/http/': 1,
  'common/config/': 1,
  'common/contract/': 1,
  'common/metrics.ts': 2,
  'common/ops-door.ts': 3,
  'registry/settings.ts': 2,
  'registry/store/': 3,
  'registry/ca/': 3,
  'registry/authority/': 4,
  'registry/est/': 5,
  'registry/api/': 6,
  'registry/assembly/': 7,
  'registry/main.ts': 8,
  'gateway/settings.ts': 2,
  'gateway/upstream/': 3,
  'gateway/door/': 3,
  'gateway/sessions/': 4,
  'gateway/limits/': 4,
  'gateway/admission/': 5,
  'gateway/revocation/': 6,
  'gateway/telemetry/': 6,
  'gateway/commands/': 6,
  'gateway/mqtt/store/': 6,
  'gateway/mqtt/': 7,
  'gateway/http/': 7,
  'gateway/main.ts': 8,
  'gateway/workers/': 9,
  'simulator/': 3,
  'cli/': 10,
};

/** What the command may know of the towers: how to build them, and what can be set. */
const entrances = [
  'gateway/main.ts',
  'gateway/settings.ts',
  'gateway/upstream/remote-line.ts',
  'gateway/upstream/replica-reader.ts',
  'gateway/workers/supervisor.ts',
  'gateway/workers/worker.ts',
  'registry/main.ts',
  'registry/settings.ts',
  'registry/store/directory.ts',
  'registry/ca/offline.ts',
];

const roomOf = (file: string): string => {
  const rooms = Object.keys(floors).filter((room) => file.startsWith(room));
  return rooms.sort((a, b) => b.length - a.length)[0] ?? '';
};
const tower = (file: string): string => file.split('/')[0]!;

test('every file stands on a floor', () => {
  expect(houseSources.filter((file) => roomOf(file) === '')).toEqual([]);
});

test('imports run downward, or stay in the room', () => {
  const upward = houseSources.flatMap((file) =>
    importsOf(file).flatMap(({ target }) => {
      if (!target) return [];
      const [mine, theirs] = [roomOf(file), roomOf(target)];
      return mine === theirs || floors[theirs]! < floors[mine]! ? [] : [`${file} imports ${target}`];
    }),
  );
  expect(upward).toEqual([]);
});

test('a tower never imports another; the command enters by their doors', () => {
  const across = houseSources.flatMap((file) =>
    importsOf(file).flatMap(({ target }) => {
      if (!target || tower(target) === 'common' || tower(target) === tower(file)) return [];
      const enters = tower(file) === 'cli' && (entrances.includes(target) || tower(target) === 'simulator');
      return enters ? [] : [`${file} imports ${target}`];
    }),
  );
  expect(across).toEqual([]);
});

test('out of a tower by #common only, with the .ts suffix, and no barrels', () => {
  const wrong = houseSources.flatMap((file) =>
    importsOf(file).flatMap(({ specifier, target }) => {
      if (!target) return [];
      const leaves =
        tower(file) !== 'common' && tower(target) === 'common' && !specifier.startsWith('#common/');
      return leaves || !specifier.endsWith('.ts') || target.endsWith('index.ts')
        ? [`${file}: ${specifier}`]
        : [];
    }),
  );
  expect(wrong).toEqual([]);
});

test('no cycles', () => {
  const graph = new Map(
    houseSources.map((file) => [file, importsOf(file).flatMap(({ target }) => target ?? [])]),
  );
  const state = new Map<string, 'open' | 'done'>();
  const cycles: string[] = [];
  const visit = (file: string, path: string[]): void => {
    if (state.get(file) === 'done') return;
    if (state.get(file) === 'open') return void cycles.push([...path, file].join(' > '));
    state.set(file, 'open');
    for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
    state.set(file, 'done');
  };
  for (const file of houseSources) visit(file, []);
  expect(cycles).toEqual([]);
});
