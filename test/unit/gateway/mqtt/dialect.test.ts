/** The topics of other platforms, and what they mean here; docs/compatibility.md has the same tables. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { meantBy } from '../../../../gateway/http/hono.ts';
import { Tongue } from '../../../../gateway/mqtt/dialect.ts';

const speaking = (...topics: ('native' | 'hono' | 'aws')[]) => Tongue.of(topics, 'plant', 'pump-1');

test('a device that speaks in our topics alone is asked nothing', () => {
  expect(speaking('native')).toBeNull();
});

describe('Hono', () => {
  const hono = speaking('native', 'hono')!;

  test.each([
    ['telemetry', 'telemetry', ''],
    ['t', 'telemetry', ''],
    ['event', 'events', ''],
    ['e', 'events', ''],
    ['telemetry//', 'telemetry', ''],
    ['telemetry//pump-1', 'telemetry', ''],
    ['t/plant/pump-1', 'telemetry', ''],
    ['e/plant/pump-1/door/left', 'events/door/left', ''],
    ['telemetry/?content-type=application%2Fjson', 'telemetry', 'application/json'],
    ['event/?hono-ttl=10&content-type=text/plain', 'events', 'text/plain'],
    ['t/plant/pump-1/?content-type=application%2Fvnd.x%2Bjson', 'telemetry', 'application/vnd.x+json'],
    ['telemetry/?', 'telemetry', ''],
    ['command///res/abc/200', 'commands/abc/reply/200', ''],
    ['c/plant/pump-1/s/abc/503', 'commands/abc/reply/503', ''],
    ['control///res/abc/200/?content-type=a%2Fb', 'commands/abc/reply/200', 'a/b'],
  ])('%s', (said, meant, contentType) => {
    expect(hono.meaningOf(said)).toEqual({ topic: `devices/pump-1/${meant}`, contentType });
  });

  test.each([
    'telemetry/plant',
    'telemetry/other/pump-1',
    'telemetry/plant/pump-2',
    'telemetry//pump-2',
    't/plant/pump-1x',
    'telemetries',
    'command',
    'command///res/abc',
    'command///res//200',
    'command///res/abc/200/more',
    'command//pump-2/res/abc/200',
    'command///req/abc/open',
    'dt/app/context/pump-1/temperature',
    'devices/pump-1/telemetry',
  ])('%s means nothing', (said) => {
    expect(hono.meaningOf(said)).toBeNull();
  });

  test.each([
    ['command/+/+/req/#', 'command///req/id/open'],
    ['c/+/+/q/#', 'c///q/id/open'],
    ['command///req/#', 'command///req/id/open'],
    ['command/plant/pump-1/req/#', 'command/plant/pump-1/req/id/open'],
    ['command//pump-1/q/#', 'command//pump-1/q/id/open'],
  ])('a subscription to %s hears commands on %s', (filter, topic) => {
    expect(hono.filterOf(filter)).toBe('devices/pump-1/commands/#');
    expect(hono.commandTopic(filter, 'id', 'open')).toBe(topic);
  });

  test.each([
    'command/#',
    'command/+/pump-2/req/#',
    'command/other/+/req/#',
    'command/+/+/res/#',
    'command/+/+/req/+',
  ])('a subscription to %s is what it is', (filter) => {
    expect(hono.filterOf(filter)).toBe(filter);
    expect(hono.commandTopic(filter, 'id', 'open')).toBe('devices/pump-1/commands/id/open');
  });
});

describe('AWS', () => {
  const aws = speaking('native', 'aws')!;

  test.each([
    ['dt/hvac/berlin/pump-1/temperature', 'telemetry/hvac/berlin/temperature'],
    ['dt/hvac/berlin/pump-1/room/1', 'telemetry/hvac/berlin/room/1'],
    ['$aws/rules/store', 'telemetry/store'],
    ['$aws/rules/store/room/1', 'telemetry/store/room/1'],
    ['cmd/hvac/berlin/pump-1/res/abc/200', 'commands/abc/reply/200'],
  ])('%s', (said, meant) => {
    expect(aws.meaningOf(said)).toEqual({ topic: `devices/pump-1/${meant}`, contentType: '' });
  });

  test.each([
    'dt/hvac/berlin/pump-2/temperature',
    'dt/hvac/berlin/pump-1',
    'dt//berlin/pump-1/temperature',
    'dt/hvac/pump-1/temperature',
    '$aws/rules',
    '$aws/rules/',
    '$aws/things/pump-1/shadow/update',
    'cmd/hvac/berlin/pump-2/res/abc/200',
    'cmd/hvac/berlin/pump-1/req/abc/open',
    'telemetry',
  ])('%s means nothing', (said) => {
    expect(aws.meaningOf(said)).toBeNull();
  });

  test.each([
    ['cmd/hvac/berlin/pump-1/req/#', 'cmd/hvac/berlin/pump-1/req/id/open'],
    ['cmd/+/+/pump-1/req/#', 'cmd/fleetgate/plant/pump-1/req/id/open'],
  ])('a subscription to %s hears commands on %s', (filter, topic) => {
    expect(aws.filterOf(filter)).toBe('devices/pump-1/commands/#');
    expect(aws.commandTopic(filter, 'id', 'open')).toBe(topic);
  });

  test.each(['cmd/hvac/berlin/pump-2/req/#', 'cmd/hvac/berlin/+/req/#', 'cmd/#'])(
    'a subscription to %s is what it is',
    (filter) => {
      expect(aws.filterOf(filter)).toBe(filter);
    },
  );
});

test('whatever is said means a topic of the device itself, or nothing', () => {
  const both = speaking('native', 'hono', 'aws')!;
  const level = fc.constantFrom(
    ...[
      '',
      'telemetry',
      't',
      'e',
      'command',
      'c',
      'res',
      's',
      'plant',
      'pump-1',
      'pump-2',
      'other',
      'dt',
      'cmd',
      '$aws',
    ],
    ...['rules', '..', '?content-type=x', 'devices', '#', '+', '%2F'],
  );
  fc.assert(
    fc.property(fc.array(level, { minLength: 1, maxLength: 8 }), (levels) => {
      const meaning = both.meaningOf(levels.join('/'));
      if (meaning) expect(meaning.topic).toMatch(/^devices\/pump-1\/(telemetry|events|commands)(\/|$)/);
    }),
    { numRuns: 5_000 },
  );
});

describe("Hono's HTTP", () => {
  const entry = { fleet: 'plant', device: 'pump-1' } as Parameters<typeof meantBy>[1];

  test.each([
    ['POST', '/telemetry', '/v1/telemetry'],
    ['POST', '/event', '/v1/events'],
    ['POST', '/telemetry?hono-ttd=10', '/v1/telemetry'],
    ['PUT', '/telemetry/plant/pump-1', '/v1/telemetry'],
    ['PUT', '/event/plant/pump-1', '/v1/events'],
  ])('%s %s', (method, url, meant) => {
    expect(meantBy({ method, url }, entry)).toEqual({ method: 'POST', url: meant });
  });

  test.each([
    ['GET', '/telemetry'],
    ['POST', '/telemetry/plant/pump-1'],
    ['PUT', '/telemetry'],
    ['PUT', '/telemetry/plant/pump-2'],
    ['PUT', '/telemetry//pump-1'],
    ['PUT', '/event/other/pump-1'],
    ['POST', '/constructor'],
    ['POST', '/v1/telemetry'],
  ])('%s %s stays what it is', (method, url) => {
    expect(meantBy({ method, url }, entry)).toEqual({ method, url });
  });
});
