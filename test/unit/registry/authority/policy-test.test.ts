/** A question beforehand gets the gateway's answer, with the rule that decides, or why none does. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { DirectoryEntry, RoleDocument, RoleRule } from '#common/contract/directory.ts';
import { deviceRole } from '#common/contract/role-defaults.ts';
import { rightsOf } from '../../../../gateway/admission/role.ts';
import { type PolicyQuestion, testPolicy } from '../../../../registry/authority/policy-test.ts';

const pump = { device: 'pump-1', fleet: 'plant', attributes: { site: 'north' } };
const role = (...rules: RoleRule[]): RoleDocument => ({ name: 'r', severalSessions: false, rules });
const ask = (document: RoleDocument | null, question: PolicyQuestion, subject = pump) =>
  testPolicy(document, subject, question);

describe('which rule decides', () => {
  test('of several, counted from 1, in the words of the document', () => {
    const answer = ask(deviceRole, { action: 'publish', topic: 'devices/pump-1/events/door', qos: 1 });
    expect(answer).toMatchObject({
      allowed: true,
      rule: { number: 2, pattern: 'devices/${device.id}/events/#' },
    });
    expect(answer.why).toMatch(/Rule 2/);
  });

  test('for a subscription the one that grants most QoS, and the QoS that it would get', () => {
    const two = role(
      { allow: 'subscribe', pattern: 'a/#', maxQos: 0 },
      { allow: 'subscribe', pattern: 'a/b', maxQos: 1 },
    );
    expect(ask(two, { action: 'subscribe', topic: 'a/b' })).toMatchObject({ rule: { number: 2 }, qos: 1 });
    expect(ask(two, { action: 'subscribe', topic: 'a/+' })).toMatchObject({ rule: { number: 1 }, qos: 0 });
    expect(ask(two, { action: 'subscribe', topic: 'a/b', qos: 0 })).toMatchObject({ qos: 0 });
  });
});

describe('why none does', () => {
  const rules = role(
    { allow: 'publish', pattern: 'site/${device.attributes.site}/#', maxQos: 1 },
    { allow: 'publish', pattern: 'line/${device.attributes.line}/#' },
    { allow: 'subscribe', pattern: 'site/${device.attributes.site}/+' },
    { allow: 'http', pattern: '/v1/#', methods: ['GET'] },
  );
  test.each<[string, PolicyQuestion, RegExp]>([
    [
      'a variable that it lacks',
      { action: 'publish', topic: 'line/7/x' },
      /rule 2 .*device\.attributes\.line/,
    ],
    ['a higher QoS', { action: 'publish', topic: 'site/north/x', qos: 2 }, /rule 1 grants QoS 1 at most/],
    ['RETAIN', { action: 'publish', topic: 'site/north/x', retain: true }, /rule 1 does not grant RETAIN/],
    ['a wider filter', { action: 'subscribe', topic: 'site/north/#' }, /rule 3 grants a part/],
    ['another method', { action: 'http', topic: '/v1/me', method: 'POST' }, /rule 4 does not grant POST/],
    ['a wildcard in a topic', { action: 'publish', topic: 'site/+/x' }, /no wildcards/],
    ['a $ topic', { action: 'subscribe', topic: '$SYS/#' }, /begin with \$/],
    [
      'something else altogether',
      { action: 'subscribe', topic: 'other' },
      /No rule of the role r grants it[.:]/,
    ],
  ])('%s', (_what, question, why) => {
    expect(ask(rules, question)).toMatchObject({
      allowed: false,
      rule: null,
      why: expect.stringMatching(why),
    });
  });

  test('a role that does not exist', () => {
    expect(ask(null, { action: 'publish', topic: 'a' })).toMatchObject({ allowed: false });
  });
});

test('it never says other than the gateway would', () => {
  const level = fc.constantFrom('a', 'b', '${device.attributes.site}', '${device.attributes.line}', '+');
  const patterns = fc
    .array(level, { minLength: 1, maxLength: 3 })
    .chain((levels) => fc.boolean().map((open) => [...levels, ...(open ? ['#'] : [])].join('/')));
  const rules = fc.array(
    fc.record({
      allow: fc.constantFrom('publish' as const, 'subscribe' as const),
      pattern: patterns,
      maxQos: fc.constantFrom(0 as const, 1 as const, 2 as const),
    }),
    { maxLength: 4 },
  );
  const topics = fc
    .array(fc.constantFrom('a', 'b', 'north', '+', '#', '$share', '$SYS', ''), { minLength: 1, maxLength: 4 })
    .map((levels) => levels.join('/'));
  fc.assert(
    fc.property(rules, topics, fc.integer({ min: 0, max: 2 }), (list, topic, qos) => {
      const document = role(...list);
      const rights = rightsOf(document, pump as unknown as DirectoryEntry);
      const subscribed = ask(document, { action: 'subscribe', topic });
      expect(subscribed.allowed ? subscribed.qos : null).toBe(rights.maySubscribe(topic));
      if (/[+#]/.test(topic)) return;
      expect(ask(document, { action: 'publish', topic, qos }).allowed).toBe(
        rights.mayPublish(topic, qos, false),
      );
    }),
    { numRuns: 2000 },
  );
});
