/** A registry in a process of its own that dies before a named step of an enrollment or a renewal: `registry-child.ts DIR [STEP]`. */
import { systemClock } from '#common/clock.ts';
import { openLog } from '#common/log.ts';
import { openMetrics } from '#common/metrics.ts';
import { readConfiguration } from '../../cli/config.ts';
import { openRegistry } from '../../registry/main.ts';

const [dataDir = '', deadly] = process.argv.slice(2);
const settings = readConfiguration(undefined, { data: dataDir, 'registry.port': 0, 'pki.port': 0 });
const registry = await openRegistry({
  dataDir,
  host: '127.0.0.1',
  settings,
  trustDomain: settings.trustDomain,
  metrics: openMetrics(),
  log: openLog('silent', 'test'),
  clock: systemClock,
  observe: (step) => {
    if (step === deadly) process.kill(process.pid, 'SIGKILL');
  },
});
process.stdout.write(
  `ready ${JSON.stringify({ registry: registry.urls.registry, ca: registry.caFile, adminTokenFile: registry.adminTokenFile })}\n`,
);
process.once('SIGTERM', () => void registry.close().then(() => process.exit(0)));
