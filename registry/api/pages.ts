/** Two plain pages until the console exists: how things stand at `/`, and the reference of the API at `/docs`. */
import type { FastifyInstance } from 'fastify';
import type { Status } from '../authority/status.ts';

const style = `
  :root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 15%, transparent); }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem; }
  h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
  table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line); }
  code { font-size: .9em; } .well { color: #1a7f37; } .look { color: #b35900; } small { opacity: .7; }`;

const page = (title: string, body: string) =>
  `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
  `<title>${title}</title><style>${style}</style><body>${body}</body></html>`;

const escapeHtml = (text: string) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

const rows = (pairs: [string, string][]) =>
  `<table>${pairs.map(([name, value]) => `<tr><th>${escapeHtml(name)}</th><td>${escapeHtml(value)}</td></tr>`).join('')}</table>`;

interface Operation {
  parameters?: { name: string; in: string }[];
  requestBody?: unknown;
}

export const pageRoutes = (status: Status) => (app: FastifyInstance) => {
  const headers = {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
  };
  const open = { config: { permission: 'open' as const }, schema: { hide: true } };

  // Anyone may see this page: verdict and counts of kinds, nothing that names a device.
  app.get('/', open, async (_request, reply) => {
    const { verdict, healthy, certificates, devices, gateways } = await status.read();
    const count = (of: Record<string, number>) =>
      Object.entries(of)
        .map(([state, n]) => `${n} ${state}`)
        .join(', ') || 'none yet';
    const body =
      `<h1>Fleetgate registry</h1><p class="${healthy ? 'well' : 'look'}">${escapeHtml(verdict)}</p>` +
      rows([
        ['Devices', count(devices)],
        ['Certificates', count(certificates)],
        ['Gateways', String(gateways.length)],
      ]) +
      `<p><a href="/docs">API reference</a> · <a href="/openapi.json">openapi.json</a></p>`;
    return reply.headers(headers).send(page('Fleetgate registry', body));
  });

  app.get('/docs', open, async (_request, reply) => {
    const paths = Object.entries(
      (app.swagger() as { paths?: Record<string, Record<string, Operation>> }).paths ?? {},
    );
    const body = paths
      .flatMap(([path, operations]) =>
        Object.entries(operations).map(([method, operation]) => ({ path, method, operation })),
      )
      .map(({ path, method, operation }) => {
        const takes = [
          ...(operation.parameters ?? []).map((each) => each.name),
          ...(operation.requestBody ? ['a JSON body'] : []),
        ];
        return `<tr><td><code>${method.toUpperCase()}</code></td><td><code>${escapeHtml(path)}</code></td><td>${escapeHtml(takes.join(', '))}</td></tr>`;
      });
    const intro = `<h1>API reference</h1><p>Every call takes <code>Authorization: Bearer &lt;API token&gt;</code>, or the client certificate of an operator; <code>POST /v1/enroll</code> an enrollment token, or a claim certificate in TLS. Shapes are in <a href="/openapi.json">openapi.json</a>; errors are RFC 9457 problem documents.</p>`;
    return reply.headers(headers).send(page('Fleetgate API', `${intro}<table>${body.join('')}</table>`));
  });
};
