// ONNX Runtime from Node.js: node onnxruntime_peer.js PACKAGES WORKLOAD.safetensors MODEL.onnx THREADS
//
// PACKAGES is the folder with node_modules. All optimizations of the graph are on, weights are packed beforehand (its default), denormals
// flushed, the output is allocated once. The session is called without the promise that its public door wraps around each call, which
// would cost a turn of the event loop.
'use strict';

const fs = require('fs');
const path = require('path');
const readline = require('readline');

const [packages, file, model, threads] = process.argv.slice(2);
const folder = path.join(path.resolve(packages), 'node_modules', 'onnxruntime-node');
const { Tensor } = require(path.join(path.resolve(packages), 'node_modules', 'onnxruntime-common'));
const { binding, initOrt } = require(path.join(folder, 'dist', 'binding.js'));
const version = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'))).version;

function readWorkload(name) {
    const content = fs.readFileSync(name);
    const length = Number(content.readBigUInt64LE(0));
    const header = JSON.parse(content.subarray(8, 8 + length).toString());
    const array = (key, type) => {
        const { shape, data_offsets: [begin, end] } = header[key];
        const copy = content.subarray(8 + length + begin, 8 + length + end);
        return { shape, values: new type(new Uint8Array(copy).buffer) };
    };
    return {
        x: array('data.features', Float32Array),
        labels: array('data.labels', Int32Array).values,
        widths: header.__metadata__.widths.split(' ').map(Number),
    };
}

const { x, labels, widths } = readWorkload(file);
initOrt();
const session = new binding.InferenceSession();
session.loadModel(path.resolve(model), {
    executionProviders: ['cpu'],
    intraOpNumThreads: Number(threads),
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    enableCpuMemArena: true,
    enableMemPattern: true,
    extra: { session: { set_denormal_as_zero: '1' } },
});
const classes = widths[widths.length - 1];
const output = new Tensor('float32', new Float32Array(x.shape[0] * classes), [x.shape[0], classes]);
const feeds = { x: new Tensor('float32', x.values, x.shape) };
const fetches = { y: output };
const options = {};
const step = () => session.run(feeds, fetches, options);

function crossEntropy() {
    step();
    let sum = 0;
    for (let row = 0; row < labels.length; row++) {
        let total = 0;
        for (let i = 0; i < classes; i++) total += Math.exp(output.data[row * classes + i]);
        sum += Math.log(total) - output.data[row * classes + labels[row]];
    }
    return sum / labels.length;
}

function times(warm, groups, steps) {
    for (let i = 0; i < warm; i++) step();
    const result = [];
    for (let group = 0; group < groups; group++) {
        const start = process.hrtime.bigint();
        for (let i = 0; i < steps; i++) step();
        result.push((Number(process.hrtime.bigint() - start) / steps).toFixed(1));
    }
    return result;
}

console.log(`ready ONNX Runtime ${version} (onnxruntime-node), the session called directly`);
readline.createInterface({ input: process.stdin }).on('line', (line) => {
    const [command, ...numbers] = line.split(' ');
    if (command === 'losses') console.log(['losses', ...Array(Number(numbers[0])).fill(crossEntropy())].join(' '));
    else if (command === 'run') console.log(['run', ...times(...numbers.map(Number))].join(' '));
    else if (command === 'begin') console.log('begin');
    else if (command === 'quit') process.exit(0);
    else throw new Error(`${command} is no command`);
});
