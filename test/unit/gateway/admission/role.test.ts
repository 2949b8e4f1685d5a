/** Roles: denied unless granted, and no variable widens a pattern. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { DirectoryEntry, RoleDocument } from '#common/contract/directory.ts';
import { backendRole, deviceRole } from '#common/contract/role-defaults.ts';
import { filterCovers, filterMatches } from '#common/topic-match.ts';
import { rightsOf } from '../../../../gateway/admission/role.ts';

const entry = (attributes: Record<string, string> = {}, device = 'pump-1') =>
  ({ device, fleet: 'plant', role: 'r', attributes }) as unknown as DirectoryEntry;
const role = (...rules: RoleDocument['rules'][number][]): RoleDocument => ({
  name: 'r',
  severalSessions: false,
  rules,
});

describe('the role of devices', () => {
  const rights = rightsOf(deviceRole, entry());
  test.each([
    ['devices/pump-1/telemetry', true],
    ['devices/pump-1/telemetry/a/b', true],
    ['devices/pump-1/events/door', true],
    ['devices/pump-1/commands/7/reply/200', true],
    ['devices/pump-1/certificates/renew', true],
    ['devices/pump-2/telemetry', false],
    ['devices/pump-1', false],
    ['devices/pump-1/commands/7/open', false],
    ['devices/pump-1/errors', false],
    ['$SYS/x', false],
  ])('publish to %s: %s', (topic, allowed) => {
    expect(rights.mayPublish(topic, 1, false)).toBe(allowed);
    expect(rights.mayPublish(topic, 1, true)).toBe(false);
  });

  test.each([
    ['devices/pump-1/commands/#', 2],
    ['devices/pump-1/commands/7/open', 2],
    ['devices/pump-1/errors', 0],
    ['devices/+/commands/#', null],
    ['devices/pump-1/#', null],
    ['#', null],
    ['$SYS/#', null],
    ['$share/g/devices/pump-1/commands/#', 2],
    ['$share/g/devices/pump-2/commands/#', null],
    ['$share/g/#', null],
    ['$share/g/$SYS/x', null],
    ['$share//devices/pump-1/commands/#', null],
    ['$share/+/devices/pump-1/commands/#', null],
  ])('subscribe to %s: %s', (filter, qos) => expect(rights.maySubscribe(filter)).toBe(qos));
});

test('a backend may listen to all and say nothing', () => {
  const rights = rightsOf(backendRole, entry());
  expect(rights.maySubscribe('devices/+/telemetry/#')).toBe(2);
  expect(rights.maySubscribe('devices/#')).toBe(null);
  expect(rights.mayPublish('devices/pump-1/telemetry', 0, false)).toBe(false);
});

test('a role that nobody knows, or that is empty, grants nothing', () => {
  for (const none of [undefined, role()]) {
    const rights = rightsOf(none, entry());
    expect(rights.mayPublish('devices/pump-1/telemetry', 0, false)).toBe(false);
    expect(rights.maySubscribe('devices/pump-1/commands/#')).toBe(null);
    expect(rights.mayRequest('/v1/me')).toBe(false);
  }
});

test('an http rule that names methods grants those, and nothing to a request without one', () => {
  const rights = rightsOf(role({ allow: 'http', pattern: '/v1/me', methods: ['GET', 'HEAD'] }), entry());
  expect(rights.mayRequest('/v1/me', 'GET')).toBe(true);
  expect(rights.mayRequest('/v1/me', 'POST')).toBe(false);
  expect(rights.mayRequest('/v1/me')).toBe(false);
  expect(rightsOf(deviceRole, entry()).mayRequest('/v1/telemetry', 'POST')).toBe(true);
});

describe('a last word', () => {
  const node: RoleDocument = { ...role({ allow: 'publish', pattern: 'spBv1.0/#' }), lastWord: true };
  test.each([
    ['spBv1.0/plant/NDEATH/node', true],
    ['spBv1.0/plant/NDEATH/node/device', true],
    ['spBv1.0/plant/NDEATH', false],
    ['spBv1.0/plant/NDEATH/', false],
    ['spBv1.0//NDEATH/node', false],
    ['spBv1.0/plant/DDEATH/node', false],
    ['spBv1.0/plant/ndeath/node', false],
    ['x/plant/NDEATH/node', false],
  ])('on %s: %s', (topic, may) => {
    expect(rightsOf(node, entry()).mayHaveLastWord(topic)).toBe(may);
    expect(rightsOf({ ...node, lastWord: false }, entry()).mayHaveLastWord(topic)).toBe(false);
    expect(rightsOf(deviceRole, entry()).mayHaveLastWord(topic)).toBe(false);
  });
});

describe('variables', () => {
  const site = role({ allow: 'publish', pattern: 'site/${device.attributes.site}/+' });

  test('are filled in', () => {
    expect(rightsOf(site, entry({ site: 'north' })).mayPublish('site/north/x', 0, false)).toBe(true);
    expect(rightsOf(site, entry({ site: 'north' })).mayPublish('site/south/x', 0, false)).toBe(false);
  });

  test.each([
    {},
    { site: '' },
    { site: '+' },
    { site: '#' },
    { site: 'a/b' },
    { site: 'a\0b' },
    { other: 'x' },
  ])('that are missing, empty or more than a name deny: %j', (attributes) => {
    const rights = rightsOf(site, entry(attributes as Record<string, string>));
    for (const topic of ['site//x', 'site/a/x', 'site/a/b', 'site/+/x'])
      expect(rights.mayPublish(topic, 0, false)).toBe(false);
  });

  test('of the object they live in are not attributes', () => {
    const sly = role({ allow: 'publish', pattern: 'x/${device.attributes.constructor}' });
    expect(rightsOf(sly, entry()).mayPublish('x/function Object() { [native code] }', 0, false)).toBe(false);
  });

  test('whatever an attribute holds, it never reaches beyond its level', () => {
    fc.assert(
      fc.property(fc.string(), fc.array(fc.string(), { minLength: 1, maxLength: 5 }), (value, levels) => {
        const topic = levels.join('/');
        const granted = rightsOf(site, entry({ site: value })).mayPublish(topic, 0, false);
        const parts = topic.split('/');
        if (granted) expect(parts).toEqual(['site', value, parts[2]]);
      }),
    );
  });
});

describe('topic filters', () => {
  const level = fc.constantFrom('a', 'b', 'c', '');
  const topics = fc.array(level, { minLength: 1, maxLength: 4 });
  const filters = fc
    .array(fc.constantFrom('a', 'b', '+'), { minLength: 1, maxLength: 4 })
    .chain((levels) => fc.boolean().map((open) => (open ? [...levels, '#'] : levels)));

  test('a filter that covers another matches everything that the other matches', () => {
    fc.assert(
      fc.property(filters, filters, topics, (granted, asked, topic) => {
        if (filterCovers(granted, asked) && filterMatches(asked, topic))
          expect(filterMatches(granted, topic)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  test('a filter covers itself, and # covers all but $', () => {
    fc.assert(
      fc.property(filters, (filter) => {
        expect(filterCovers(filter, filter)).toBe(true);
        expect(filterCovers(['#'], filter)).toBe(true);
        expect(filterCovers(['#'], ['$SYS', ...filter])).toBe(false);
      }),
    );
  });

  test('as the specification has it, section 4.7', () => {
    const matches = (filter: string, topic: string) => filterMatches(filter.split('/'), topic.split('/'));
    expect(matches('sport/tennis/#', 'sport/tennis')).toBe(true);
    expect(matches('sport/+', 'sport')).toBe(false);
    expect(matches('sport/+', 'sport/')).toBe(true);
    expect(matches('+/+', '/finance')).toBe(true);
    expect(matches('#', '$SYS/x')).toBe(false);
    expect(matches('+/monitor', '$SYS/monitor')).toBe(false);
    expect(matches('$SYS/#', '$SYS/x')).toBe(true);
  });
});
