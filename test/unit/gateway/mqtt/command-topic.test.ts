/** The topics of commands: a reply is a device's own, whole and with a status; everything else there is nobody's. */
import { expect, test } from 'vitest';
import {
  commandTopic,
  coversCommands,
  isCommandTopic,
  replyTargetOf,
  responseTopic,
} from '../../../../gateway/mqtt/command-topic.ts';
import { isPrivate } from '../../../../gateway/mqtt/private-topics.ts';

const id = 'a'.repeat(32);
const own = `devices/pump/commands/${id}`;

test('a reply names the command and the status', () => {
  expect(replyTargetOf(`${own}/reply/204`, 'pump')).toEqual({ id, status: 204 });
  expect(replyTargetOf(responseTopic('pump', id), 'pump')).toEqual({ id, status: 200 });
});

test.each([
  `${own}/reply`,
  `${own}/reply/`,
  `${own}/reply/99`,
  `${own}/reply/600`,
  `${own}/reply/2000`,
  `${own}/reply/200/x`,
  `${own}/open`,
  `${own}/replies/200`,
  `devices/pump2/commands/${id}/reply/200`,
  'devices/pump/commands/1/reply/200',
  `devices/pump/commands/${id.toUpperCase()}/reply/200`,
  'devices/pump/telemetry',
])('%s is none', (topic) => {
  expect(replyTargetOf(topic, 'pump')).toBeNull();
});

test('whatever is below commands is a topic of commands, whose device it may be', () => {
  expect(isCommandTopic(commandTopic('pump', id, 'open'))).toBe(true);
  expect(isCommandTopic('devices/other/commands')).toBe(true);
  expect(isCommandTopic('devices/other/commandsx/1')).toBe(false);
  expect(isCommandTopic('sites/other/commands/1')).toBe(false);
});

test.each([
  ['devices/pump/commands/#', true],
  ['devices/pump/commands/+/+', true],
  ['devices/+/commands/#', true],
  ['devices/pump/#', true],
  ['#', true],
  ['devices/pump/commands/+/open', false],
  ['devices/pump/commands/+', false],
  ['devices/pump/commands/+/reply/+', false],
  ['devices/other/commands/#', false],
  ['$share/g/devices/pump/commands/#', false],
])('a session with the filter %s gets commands: %s', (filter, gets) => {
  expect(coversCommands(filter, 'pump')).toBe(gets);
});

test.each([
  ['devices/pump/commands/#', true],
  ['devices/pump/errors', true],
  ['devices/pump/certificates/renew/accepted', true],
  ['devices/pump/telemetry', false],
  ['devices/pump/#', false],
  ['devices/pump2/errors', false],
])('%s needs no broker: %s', (filter, is) => {
  expect(isPrivate(filter, 'pump')).toBe(is);
});
