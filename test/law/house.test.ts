/** The rules of the house that a machine can check: sizes, names, time, environment, what type stripping cannot take. */
import { basename } from 'node:path';
import { expect, test } from 'vitest';
import { code, files, houseSources, sources, text } from './source.ts';

const matching = (list: readonly string[], pattern: RegExp, except: readonly string[] = []): string[] =>
  list.filter((file) => !except.includes(file) && pattern.test(code(file)));

test('no file is longer than 400 lines', () => {
  expect(sources.filter((file) => text(file).split('\n').length > 401)).toEqual([]);
});

test('only the clock reads the time or sets a timer', () => {
  const time =
    /\bnew Date\b|\bDate\.(now|parse|UTC)\b|\bset(Timeout|Interval)\(|\bperformance\.now\b|\bprocess\.hrtime\b/;
  expect(matching(houseSources, time, ['common/clock.ts'])).toEqual([]);
});

test('the environment and the exit belong to config.ts and main.ts', () => {
  const offenders = matching(houseSources, /\bprocess\.(env|exit)\b/).filter(
    (file) => !/(^|\/)(config|main)\.ts$/.test(file),
  );
  expect(offenders).toEqual([]);
});

test('names are kebab-case, and no noun is a Manager, Helper, Util, Service or Impl', () => {
  const odd = houseSources.filter(
    (file) =>
      !/^[a-z0-9-]+\.ts$/.test(basename(file)) || /(manager|helper|utils?|service|impl)\.ts$/.test(file),
  );
  expect(odd).toEqual([]);
  expect(
    matching(houseSources, /\b(class|interface|type)\s+\w*(Manager|Helper|Utils?|Service|Impl)\b/),
  ).toEqual([]);
});

test('nothing that type stripping cannot take', () => {
  expect(matching(sources, /^\s*(export\s+)?(const\s+)?enum\s|^\s*(export\s+)?namespace\s/m)).toEqual([]);
  expect(matching(sources, /constructor\((?:[^)]*,)?\s*(private|public|protected|readonly)\s/)).toEqual([]);
});

test('every file says first what it is', () => {
  expect(
    sources.filter((file) => !/^(\/\*\*|\/\/)/.test(text(file)) && !file.endsWith('vitest.config.ts')),
  ).toEqual([]);
});

test('types are not silenced', () => {
  expect(
    sources.filter(
      (file) =>
        /@ts-(ignore|expect-error|nocheck)|\bas any\b/.test(
          code(file) + text(file).replace(code(file), ''),
        ) && file !== 'test/law/house.test.ts',
    ),
  ).toEqual([]);
});

test('no compiled or generated file is kept', () => {
  expect(files.filter((file) => /\.(d\.ts|js\.map)$/.test(file))).toEqual([]);
});
