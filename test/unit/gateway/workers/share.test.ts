/** What falls to one of several workers: together as much as was meant, with a margin for what counts one address. */
import { expect, test } from 'vitest';
import { loadConfiguration } from '#common/config/load.ts';
import { configurationSchema } from '../../../../cli/config.ts';
import type { GatewaySettings } from '../../../../gateway/settings.ts';
import { shareOf } from '../../../../gateway/workers/share.ts';

const settings = loadConfiguration<GatewaySettings>(
  configurationSchema,
  { file: undefined, env: {}, flags: {} },
  () => [],
);

test('alone it is all', () => {
  expect(shareOf(settings, 1)).toBe(settings);
});

test.each([2, 3, 8])('of %i, shares make the whole at least, and no more than a margin over', (workers) => {
  const share = shareOf(settings, workers);
  const whole = settings.limits as unknown as Record<string, number>;
  const part = share.limits as unknown as Record<string, number>;
  for (const key of ['connections', 'connectRate', 'handshakes', 'handshakeQueue', 'journalSize']) {
    expect(part[key]! * workers, key).toBeGreaterThanOrEqual(whole[key]!);
    expect(part[key]! * workers, key).toBeLessThan(whole[key]! + workers);
  }
  for (const key of [
    'connectionsPerAddress',
    'connectRatePerAddress',
    'connectionsPerNetwork',
    'connectRatePerNetwork',
  ]) {
    expect(part[key]! * workers, key).toBeGreaterThanOrEqual(whole[key]! * 1.25);
    expect(part[key]!, key).toBeLessThanOrEqual(whole[key]!);
  }
  // What is of one connection or one message is not shared out.
  expect(share.mqtt.maxPacketSize).toBe(settings.mqtt.maxPacketSize);
  expect(share.mqtt.receiveMaximum).toBe(settings.mqtt.receiveMaximum);
  expect(part.handshakeTimeout).toBe(whole.handshakeTimeout);
  expect(share.limits.connectionsPerAddress).toBeLessThanOrEqual(share.limits.connections);
});

test('nobody gets nothing', () => {
  const { limits } = shareOf(
    { ...settings, limits: { ...settings.limits, connections: 1, handshakes: 4 } },
    8,
  );
  expect(limits.connections).toBe(1);
  expect(limits.handshakes).toBe(4);
});
