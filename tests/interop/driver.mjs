// An OPC UA client that is not ours, driven by one JSON request per line on standard input; answers on standard output.
// It decides nothing: the tests in Python say what to do and assert what came.
import { createInterface } from "node:readline";
import {
  AttributeIds, BrowseDirection, ClientMonitoredItemGroup, DataChangeFilter, DataChangeTrigger, DataType, DeadbandType,
  HistoryReadRequest, MessageSecurityMode, OPCUACertificateManager, OPCUAClient, ReadRawModifiedDetails, SecurityPolicy,
  StatusCodes, TimestampsToReturn, UserTokenType, Variant, VariantArrayType, resolveNodeId, NumericRange,
} from "node-opcua";

const state = { client: null, session: null, subscriptions: new Map(), notifications: new Map(), events: [] };

function plain(value) {
  if (value === null || value === undefined) return value ?? null;
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Date) return value.getTime();
  if (ArrayBuffer.isView(value)) return Array.from(value, plain);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
  if (typeof value === "object") {
    if (value.constructor && value.constructor.name.endsWith("NodeId")) return value.toString();
    if ("text" in value && "locale" in value) return value.text;
    if ("name" in value && "namespaceIndex" in value) return `${value.namespaceIndex}:${value.name}`;
    const out = {};
    for (const key of Object.keys(value)) if (!key.startsWith("_") && typeof value[key] !== "function") out[key] = plain(value[key]);
    return out;
  }
  return value;
}

function dataValue(dv) {
  return {
    value: dv.value && dv.value.dataType !== DataType.Null ? plain(dv.value.value) : null,
    type: dv.value ? DataType[dv.value.dataType] : "Null",
    dimensions: dv.value && dv.value.dimensions ? Array.from(dv.value.dimensions) : null,
    status: dv.statusCode.value >>> 0,
    name: dv.statusCode.name,
    source: dv.sourceTimestamp ? dv.sourceTimestamp.getTime() : null,
    picoseconds: dv.sourcePicoseconds ?? 0,  // what the stamp has beyond the millisecond
    server: dv.serverTimestamp ? dv.serverTimestamp.getTime() : null,
  };
}

async function connect(p) {
  const manager = new OPCUACertificateManager({ rootFolder: p.pki, automaticallyAcceptUnknownCertificate: true });
  await manager.initialize();
  const options = {
    applicationName: "interop", applicationUri: p.applicationUri, clientCertificateManager: manager,
    securityMode: MessageSecurityMode[p.mode ?? "SignAndEncrypt"],
    securityPolicy: SecurityPolicy[p.policy ?? "Basic256Sha256"],
    endpointMustExist: false, keepSessionAlive: true, requestedSessionTimeout: 60000,
    connectionStrategy: { initialDelay: 200, maxDelay: 1000, maxRetry: p.retry ?? 0 },
    transportSettings: { maxMessageSize: 64 * 1024 * 1024, maxChunkCount: 4000 },
  };
  if (p.certificate) { options.certificateFile = p.certificate; options.privateKeyFile = p.key; }
  const client = OPCUAClient.create(options);
  client.on("connection_lost", () => state.events.push("connection_lost"));
  client.on("connection_reestablished", () => state.events.push("connection_reestablished"));
  try {
    await client.connect(p.endpoint);
    const identity = p.user ? { type: UserTokenType.UserName, userName: p.user, password: p.password } : { type: UserTokenType.Anonymous };
    state.session = await client.createSession(identity);
  } catch (error) {
    try { await client.disconnect(); } catch { /* it never connected */ }
    throw error;
  }
  state.client = client;
  return { endpoint: plain(state.session.endpoint.endpointUrl), policy: client.securityPolicy };
}

async function disconnect() {
  if (state.session) { try { await state.session.close(); } catch { /* gone already */ } }
  if (state.client) { try { await state.client.disconnect(); } catch { /* gone already */ } }
  state.client = state.session = null;
  state.subscriptions.clear(); state.notifications.clear(); state.events.length = 0;
  return {};
}

async function endpoints(p) {
  const client = OPCUAClient.create({ endpointMustExist: false, connectionStrategy: { maxRetry: 0 } });
  await client.connect(p.endpoint);
  const found = await client.getEndpoints();
  await client.disconnect();
  return found.map((e) => ({
    url: e.endpointUrl, mode: MessageSecurityMode[e.securityMode], policy: e.securityPolicyUri, level: e.securityLevel,
    tokens: e.userIdentityTokens.map((t) => UserTokenType[t.tokenType]),
  }));
}

// Every node below `root` by forward hierarchical references, with small pages so that BrowseNext takes part.
async function browseAll(p) {
  const seen = new Map();
  let waiting = [resolveNodeId(p.root)];
  state.session.requestedMaxReferencesPerNode = p.page ?? 0;
  while (waiting.length) {
    const batch = waiting.splice(0, p.page ? 8 : 100);  // the server holds ten continuation points
    const results = await state.session.browse(batch.map((nodeId) => ({
      nodeId, browseDirection: BrowseDirection.Forward, referenceTypeId: resolveNodeId("HierarchicalReferences"),
      includeSubtypes: true, nodeClassMask: 0, resultMask: 63,
    })));
    for (let i = 0; i < results.length; i++) {
      let result = results[i];
      const references = [...(result.references ?? [])];
      while (result.continuationPoint && result.continuationPoint.length) {
        result = await state.session.browseNext(result.continuationPoint, false);
        references.push(...(result.references ?? []));
      }
      if (result.statusCode.isNot(StatusCodes.Good)) throw new Error(`${batch[i]}: ${result.statusCode.name}`);
      for (const reference of references) {
        const id = reference.nodeId.toString();
        if (reference.nodeId.namespace !== p.namespace || seen.has(id)) continue;
        seen.set(id, {
          id, parent: batch[i].toString(), name: plain(reference.browseName), class: reference.nodeClass,
          type: plain(reference.typeDefinition), reference: plain(reference.referenceTypeId),
        });
        waiting.push(reference.nodeId);
      }
    }
  }
  return [...seen.values()];
}

async function read(p) {
  const nodes = p.nodes.map((n) => ({
    nodeId: resolveNodeId(n.id), attributeId: AttributeIds[n.attribute ?? "Value"],
    indexRange: n.range ? new NumericRange(n.range) : undefined,
  }));
  const out = [];
  for (let i = 0; i < nodes.length; i += 1000) out.push(...await state.session.read(nodes.slice(i, i + 1000), 0));
  return out.map(dataValue);
}

async function write(p) {
  const codes = await state.session.write(p.nodes.map((n) => ({
    nodeId: resolveNodeId(n.id), attributeId: AttributeIds.Value,
    value: { value: new Variant({ dataType: DataType[n.type], value: n.value }) },
  })));
  return codes.map((code) => code.name);
}

async function translate(p) {
  const { makeBrowsePath } = await import("node-opcua");
  const results = await state.session.translateBrowsePath(p.paths.map((path) => makeBrowsePath(p.root, path)));
  return results.map((r) => ({ status: r.statusCode.name, targets: (r.targets ?? []).map((t) => t.targetId.toString()) }));
}

async function registerNodes(p) {
  const ids = await state.session.registerNodes(p.nodes.map((n) => resolveNodeId(n)));
  await state.session.unregisterNodes(ids);
  return ids.map((id) => id.toString());
}

async function subscribe(p) {
  const subscription = await state.session.createSubscription2({
    requestedPublishingInterval: p.interval ?? 200, requestedLifetimeCount: 1000, requestedMaxKeepAliveCount: p.keepAlive ?? 10,
    maxNotificationsPerPublish: p.maxNotifications ?? 0, publishingEnabled: true, priority: 1,
  });
  const received = [];
  state.subscriptions.set(p.name, subscription);
  state.notifications.set(p.name, received);
  const filter = p.deadband === undefined && p.trigger === undefined ? undefined : new DataChangeFilter({
    trigger: DataChangeTrigger[p.trigger ?? "StatusValue"],
    deadbandType: DeadbandType[p.deadband === undefined ? "None" : p.deadbandType ?? "Absolute"], deadbandValue: p.deadband ?? 0,
  });
  const group = ClientMonitoredItemGroup.create(
    subscription,
    p.nodes.map((n) => ({ nodeId: resolveNodeId(n.id ?? n), attributeId: AttributeIds.Value, indexRange: n.range ? new NumericRange(n.range) : undefined })),
    { samplingInterval: p.sampling ?? 100, queueSize: p.queue ?? 1, discardOldest: p.discardOldest ?? true, filter },
    TimestampsToReturn.Both,
  );
  const ready = new Promise((resolve, reject) => { group.on("initialized", resolve); group.on("err", reject); });
  group.on("changed", (item, dv, index) => received.push({ index, at: Date.now(), ...dataValue(dv) }));
  await ready;
  return group.monitoredItems.map((item) => ({ status: item.statusCode?.name ?? "Good", id: item.monitoredItemId }));
}

async function notifications(p) {
  const received = state.notifications.get(p.name);
  const until = Date.now() + (p.timeout ?? 5000);
  while (received.length < (p.count ?? 1) && Date.now() < until) await new Promise((r) => setTimeout(r, 20));
  return received.splice(0, received.length);
}

async function unsubscribe(p) {
  await state.subscriptions.get(p.name).terminate();
  state.subscriptions.delete(p.name);
  return {};
}

function historyRequest(p, continuationPoint) {
  return new HistoryReadRequest({
    historyReadDetails: new ReadRawModifiedDetails({
      isReadModified: false, startTime: p.start === null ? undefined : new Date(p.start), endTime: p.end === null ? undefined : new Date(p.end),
      numValuesPerNode: p.count ?? 0, returnBounds: p.bounds ?? false,
    }),
    timestampsToReturn: TimestampsToReturn.Source, releaseContinuationPoints: p.release ?? false,
    nodesToRead: [{ nodeId: resolveNodeId(p.id), continuationPoint }],
  });
}

// All pages of a range; `pages` bounds them, `sizes` says how many values each had.
async function history(p) {
  const values = [], sizes = [];
  let continuationPoint, pages = 0, status = "";
  do {
    const response = await state.session.historyRead(historyRequest(p, continuationPoint));
    const result = response.results[0];
    status = result.statusCode.name;
    const page = (result.historyData?.dataValues ?? []).map(dataValue);
    values.push(...page); sizes.push(page.length);
    continuationPoint = result.continuationPoint;
    pages += 1;
  } while (continuationPoint && continuationPoint.length && pages < (p.pages ?? 1e9));
  return { status, pages, sizes, values, more: Boolean(continuationPoint && continuationPoint.length) };
}

async function call(p) {
  const result = await state.session.call({
    objectId: resolveNodeId(p.object), methodId: resolveNodeId(p.method),
    inputArguments: (p.arguments ?? []).map((a) => new Variant({ dataType: DataType[a.type], value: a.value, arrayType: VariantArrayType.Scalar })),
  });
  return {
    status: result.statusCode.name, outputs: (result.outputArguments ?? []).map((v) => plain(v.value)),
    inputs: (result.inputArgumentResults ?? []).map((code) => code.name),
  };
}

async function dataTypeDefinition(p) {
  const values = await state.session.read(p.nodes.map((id) => ({ nodeId: resolveNodeId(id), attributeId: AttributeIds.DataTypeDefinition })));
  return values.map((dv) => plain(dv.value?.value));
}

async function events() { return state.events; }

const operations = { connect, disconnect, endpoints, browseAll, read, write, translate, registerNodes, subscribe, notifications,
  unsubscribe, history, call, dataTypeDefinition, events };

console.warn = console.log = (...text) => process.stderr.write(text.join(" ") + "\n");
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let answer;
  try {
    answer = { id: request.id, result: await operations[request.op](request) };
  } catch (error) {
    answer = { id: request.id, error: String(error.message ?? error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
await disconnect();
process.exit(0);
