// The cells of recurrent layers: one table, and for each what a step makes of its gates, and the way back, once. Enum order
// is table order (checked in src/tables.h). Conventions are PyTorch's.
//
// To add one: its enumerator at the end of hpc_cell in hpcnet.h, its row and its two formulas here.
//
// A row is X(ENUMERATOR, name, gates, state, kept, direct): how many gates there are; whether a cell state goes from step to
// step beside the output; whether backward needs a number for each unit beside the gates (the state after the step where
// there is one); whether a gradient reaches the earlier output past the product with the recurrent weights (then the
// gradients of the two sides of a gate differ, too). `name` opens the names of two formulas over one unit:
//   void name_forward(F* a, const F* u, F h, F* s, F* y)
//     a: in what the input gives to each gate, out the gates; u: what h, the earlier output, gives to each; s: in the
//     state before, out what is kept; y: the output
//   void name_backward(F* a, F* u, F h, F s, F before, F dy, F* ds, F* dh)
//     a: in the gates, out the gradients of the input's side; u: out those of the side of h; s: what was kept; before: the
//     state before; dy: the whole gradient of the output; ds: in the gradient of the state from later steps, out that of
//     the state before; dh: out what reaches h directly
#ifndef HPC_CELLS
#define HPC_CELLS(X)                   \
    X(RNN_TANH, rnn_tanh, 1, 0, 0, 0)  \
    X(RNN_RELU, rnn_relu, 1, 0, 0, 0)  \
    X(LSTM, lstm, 4, 1, 1, 0)          \
    X(GRU, gru, 3, 0, 1, 1)
#endif

#if defined(HPC_FORMULA_OPS)

// y = tanh(a + u), Elman 1990
HPC_FORMULA void rnn_tanh_forward(F* a, const F* u, F h, F* s, F* y) {
    (void)h, (void)s;
    a[0] = hpc_tanh(a[0] + u[0]);
    *y = a[0];
}
HPC_FORMULA void rnn_tanh_backward(F* a, F* u, F h, F s, F before, F dy, F* ds, F* dh) {
    (void)h, (void)s, (void)before, (void)ds, (void)dh;
    a[0] = dy * FMA(K(0.0f) - a[0], a[0], K(1.0f));
    u[0] = a[0];
}

// y = max(0, a + u)
HPC_FORMULA void rnn_relu_forward(F* a, const F* u, F h, F* s, F* y) {
    (void)h, (void)s;
    a[0] = MAXK(a[0] + u[0], K(0.0f));
    *y = a[0];
}
HPC_FORMULA void rnn_relu_backward(F* a, F* u, F h, F s, F before, F dy, F* ds, F* dh) {
    (void)h, (void)s, (void)before, (void)ds, (void)dh;
    a[0] = SEL(LE(a[0], K(0.0f)), K(0.0f), dy);
    u[0] = a[0];
}

// Gates i, f, g, o; state c = f c + i g, y = o tanh(c). Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.
HPC_FORMULA void lstm_forward(F* a, const F* u, F h, F* s, F* y) {
    (void)h;
    a[0] = hpc_sigmoid(a[0] + u[0]);
    a[1] = hpc_sigmoid(a[1] + u[1]);
    a[2] = hpc_tanh(a[2] + u[2]);
    a[3] = hpc_sigmoid(a[3] + u[3]);
    *s = FMA(a[1], *s, a[0] * a[2]);
    *y = a[3] * hpc_tanh(*s);
}
// tanh(c) is computed again: cheaper than to keep it.
HPC_FORMULA void lstm_backward(F* a, F* u, F h, F s, F before, F dy, F* ds, F* dh) {
    (void)h, (void)dh;
    F i = a[0], f = a[1], g = a[2], o = a[3];
    F t = hpc_tanh(s);
    F dc = FMA(dy * o, FMA(K(0.0f) - t, t, K(1.0f)), *ds);
    *ds = dc * f;
    a[0] = (dc * g) * (i * (K(1.0f) - i));
    a[1] = (dc * before) * (f * (K(1.0f) - f));
    a[2] = (dc * i) * FMA(K(0.0f) - g, g, K(1.0f));
    a[3] = (dy * t) * (o * (K(1.0f) - o));
    u[0] = a[0];
    u[1] = a[1];
    u[2] = a[2];
    u[3] = a[3];
}

// Gates r, z, n; y = (1 - z) n + z h. Cho et al. 2014, with the reset gate behind the product: n = tanh(a + r u).
HPC_FORMULA void gru_forward(F* a, const F* u, F h, F* s, F* y) {
    a[0] = hpc_sigmoid(a[0] + u[0]);
    a[1] = hpc_sigmoid(a[1] + u[1]);
    a[2] = hpc_tanh(FMA(a[0], u[2], a[2]));
    *s = u[2];
    *y = FMA(a[1], h, (K(1.0f) - a[1]) * a[2]);
}
HPC_FORMULA void gru_backward(F* a, F* u, F h, F s, F before, F dy, F* ds, F* dh) {
    (void)before, (void)ds;
    F r = a[0], z = a[1], n = a[2];
    a[2] = (dy * (K(1.0f) - z)) * FMA(K(0.0f) - n, n, K(1.0f));
    a[1] = (dy * (h - n)) * (z * (K(1.0f) - z));
    a[0] = (a[2] * s) * (r * (K(1.0f) - r));
    u[0] = a[0];
    u[1] = a[1];
    u[2] = a[2] * r;
    *dh = dy * z;
}

#endif
