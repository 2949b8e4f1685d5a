/** Devices and certificates: found, shown, put out of service; and the decisions that gateways made about them. */
import type { FastifyInstance } from 'fastify';
import Type, { type Static } from 'typebox';
import type { DecisionQuery } from '#common/contract/decision.ts';
import { type DeviceId, parseDeviceId, parseFingerprint } from '#common/identity.ts';
import type { CertificateQuery, Certificates } from '../authority/certificates.ts';
import type { DeviceQuery, Devices } from '../authority/devices.ts';
import { explainDecisions, explainDevice } from '../authority/explanation.ts';
import type { Gateways } from '../authority/gateways.ts';
import type { RevocationReason } from '../authority/revocation-reason.ts';
import { actorOf } from './door.ts';
import { certificateSchemas, decisionSchemas, deviceSchemas } from './schemas/devices.ts';
import { receipt } from './schemas/words.ts';

export const deviceRoutes =
  (devices: Devices, certificates: Certificates, gateways: Gateways) => (app: FastifyInstance) => {
    app.get(
      '/v1/devices',
      {
        config: { permission: 'read' },
        schema: { querystring: deviceSchemas.query, response: { 200: deviceSchemas.list } },
      },
      async (request) => devices.list(request.query as DeviceQuery),
    );

    app.get(
      '/v1/devices/:device',
      {
        config: { permission: 'read' },
        schema: { params: deviceSchemas.params, response: { 200: deviceSchemas.details } },
      },
      async (request) => devices.show(deviceOf(request.params)),
    );

    app.patch(
      '/v1/devices/:device',
      {
        config: { permission: 'operate' },
        schema: {
          params: deviceSchemas.params,
          body: deviceSchemas.patch,
          response: { 200: deviceSchemas.details },
        },
      },
      async (request) => {
        const device = deviceOf(request.params);
        await devices.change(device, request.body as Static<typeof deviceSchemas.patch>, actorOf(request));
        return devices.show(device);
      },
    );

    app.delete(
      '/v1/devices/:device',
      {
        config: { permission: 'operate' },
        schema: { params: deviceSchemas.params, response: { 200: receipt } },
      },
      async (request) => devices.remove(deviceOf(request.params), actorOf(request)),
    );

    const put = {
      config: { permission: 'operate' as const },
      schema: { params: deviceSchemas.params, body: Type.Unknown(), response: { 200: receipt } },
    };
    app.post('/v1/devices/:device/disable', put, async (request) =>
      devices.disable(deviceOf(request.params), actorOf(request)),
    );
    app.post('/v1/devices/:device/enable', put, async (request) =>
      devices.enable(deviceOf(request.params), actorOf(request)),
    );

    app.post(
      '/v1/devices/:device/revoke',
      {
        config: { permission: 'operate' },
        schema: { params: deviceSchemas.params, body: deviceSchemas.revoke, response: { 200: receipt } },
      },
      async (request) => devices.revoke(deviceOf(request.params), reasonOf(request.body), actorOf(request)),
    );

    app.get(
      '/v1/devices/:device/decisions',
      {
        config: { permission: 'read' },
        schema: {
          params: deviceSchemas.params,
          querystring: decisionSchemas.query,
          response: { 200: decisionSchemas.ofDevice },
        },
      },
      async (request) => {
        const device = deviceOf(request.params);
        const [registered, items, outlook] = await Promise.all([
          devices.registered(device),
          gateways.decisions({ ...queryOf(request.query), device }),
          gateways.outlook(device),
        ]);
        const known = registered && { id: device, ...registered };
        return { ...explainDevice(device, registered, items, outlook), device: known, items, outlook };
      },
    );

    app.get(
      '/v1/decisions',
      {
        config: { permission: 'read' },
        schema: { querystring: decisionSchemas.query, response: { 200: decisionSchemas.list } },
      },
      async (request) => {
        const items = await gateways.decisions(queryOf(request.query));
        return { ...explainDecisions(items), items };
      },
    );

    app.get(
      '/v1/certificates',
      {
        config: { permission: 'read' },
        schema: { querystring: certificateSchemas.query, response: { 200: certificateSchemas.list } },
      },
      async (request) => certificates.list(request.query as CertificateQuery),
    );

    app.get(
      '/v1/certificates/:fingerprint',
      {
        config: { permission: 'read' },
        schema: { params: certificateSchemas.params, response: { 200: certificateSchemas.details } },
      },
      async (request) => certificates.show(fingerprintOf(request.params)),
    );

    app.post(
      '/v1/certificates/:fingerprint/revoke',
      {
        config: { permission: 'operate' },
        schema: { params: certificateSchemas.params, body: deviceSchemas.revoke, response: { 200: receipt } },
      },
      async (request) =>
        certificates.revoke(fingerprintOf(request.params), reasonOf(request.body), actorOf(request)),
    );
  };

const deviceOf = (params: unknown): DeviceId => parseDeviceId((params as { device: string }).device);
const fingerprintOf = (params: unknown) => parseFingerprint((params as { fingerprint: string }).fingerprint);
/** Hex as people write it: with colons, in capitals. */
function queryOf(query: unknown): DecisionQuery {
  const { fingerprint, serial, ...rest } = query as DecisionQuery;
  return {
    ...rest,
    ...(fingerprint !== undefined && { fingerprint: parseFingerprint(fingerprint) }),
    ...(serial !== undefined && { serial: serial.replaceAll(':', '').toLowerCase() }),
  };
}
const reasonOf = (body: unknown): RevocationReason =>
  (body as { reason?: RevocationReason } | null)?.reason ?? 'unspecified';
