/** A worker that ends again and again is given up, with a sentence that says so. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { loadConfiguration } from '#common/config/load.ts';
import type { GatewayPeer, RegistryLine } from '#common/contract/line.ts';
import { silentLog } from '#common/log.ts';
import { openMetrics } from '#common/metrics.ts';
import { configurationSchema } from '../../../../cli/config.ts';
import type { GatewaySettings } from '../../../../gateway/settings.ts';
import { mostFailures, Supervisor } from '../../../../gateway/workers/supervisor.ts';

const settings = loadConfiguration<GatewaySettings>(
  configurationSchema,
  { file: undefined, env: {}, flags: { 'ops.port': 0 } },
  () => [],
);

test('a crash loop ends with what it was', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'supervisor-'));
  const attached = new Set<GatewayPeer>();
  const line: RegistryLine = {
    directory: undefined as never,
    doors: {
      current: { chain: '', key: '', trust: '', notAfterMs: 0 },
      onRenewed: () => () => {},
      staple: () => null,
    },
    attach(peer) {
      attached.add(peer);
      return () => attached.delete(peer);
    },
    ask: () => Promise.reject(new Error('nobody asks')),
  };
  const metrics = openMetrics();
  const supervisor = await Supervisor.open({
    workers: 1,
    program: new URL('../../../harness/failing-worker.ts', import.meta.url),
    dataDir,
    host: '127.0.0.1',
    name: 'north',
    settings,
    logLevel: 'silent',
    line,
    directory: { kind: 'registry', path: '' },
    metrics,
    log: silentLog,
    // As the system's, with pauses that take no time.
    clock: { ...systemClock, sleep: () => systemClock.sleep(0) },
  });
  const fault = await supervisor.failed;
  expect(fault.kind).toBe('unavailable');
  expect(fault.message).toContain(`Worker 1 has ended ${mostFailures} times soon after its start (SIGKILL)`);
  const text = await metrics.registry.metrics();
  expect(text).toContain(`fleetgate_worker_restarts_total ${mostFailures - 1}`);
  await supervisor[Symbol.asyncDispose]();
  // Nobody of them is asked for a receipt any more.
  expect(attached.size).toBe(0);
  rmSync(dataDir, { recursive: true });
}, 60_000);
