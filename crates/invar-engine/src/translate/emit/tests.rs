//! Instructions that were once translated wrongly, mostly found by `cargo xtask fuzz translate`.

use iced_x86::{Decoder, DecoderOptions};

use super::*;
use crate::drain::reference;
use crate::translate::block::{self, trace_path};
use crate::translate::testing::{AT, Bytes};
use crate::translate::watch::Member;

const ORIGIN: u64 = 0x1000_2000_0000;
const FS_BASE: u64 = 0x7000_0000;

fn translated(bytes: &[u8], mode: Mode) -> Translation {
    let path = trace_path(&Bytes(bytes), AT, block::SHORT, |_, _| false).expect("there is code");
    let numbers = Numbers { block: 0, exit: 0, link: 0, site: 0 };
    translate(&path, ORIGIN, numbers, Options { mode, rorx: true, scheduled: false }, None)
}

/// The one instruction with `mnemonic` in the host code of `bytes`.
fn copied(bytes: &[u8], mode: Mode, mnemonic: Mnemonic) -> Instruction {
    let translation = translated(bytes, mode);
    let mut found = Decoder::with_ip(64, &translation.code, ORIGIN, DecoderOptions::NONE)
        .into_iter()
        .filter(|instruction| instruction.mnemonic() == mnemonic);
    let only = found.next().expect("it was copied");
    assert!(found.next().is_none(), "it was copied twice");
    only
}

/// The memory operands of `bytes`, in order.
fn operands(bytes: &[u8]) -> Vec<Reference> {
    let operand = |op: &Op| match op {
        Op::Touch(reference) => Some(*reference),
        _ => None,
    };
    translated(bytes, Mode::Simulation).ops.iter().filter_map(operand).collect()
}

#[test]
fn a_high_byte_register_beside_an_address_relative_to_rip_needs_a_base_without_rex() {
    for mode in [Mode::Simulation, Mode::Counts] {
        let copy = copied(&[0x86, 0x25, 0, 1, 0, 0], mode, Mnemonic::Xchg); // xchg [rip + 0x100], ah
        assert_eq!(copy.op1_register(), Register::AH);
        assert_eq!(copy.memory_base(), Register::RDX);
    }
}

#[test]
fn cmpxchg_compares_with_al_which_is_no_base_then() {
    // cmpxchg [rip + 0x100], bh
    let copy = copied(&[0x0f, 0xb0, 0x3d, 0, 1, 0, 0], Mode::Simulation, Mnemonic::Cmpxchg);
    assert_eq!(copy.op1_register(), Register::BH);
    assert!(![Register::RAX, Register::RBX].contains(&copy.memory_base()));
}

#[test]
fn an_address_relative_to_eip_stays_an_address_of_32_bits() {
    // bts [eip + 0x100], rbp
    let copy = copied(&[0x67, 0x48, 0x0f, 0xab, 0x2d, 0, 1, 0, 0], Mode::Simulation, Mnemonic::Bts);
    assert_eq!(copy.memory_base(), Register::R11D);
}

#[test]
fn enter_touches_memory_for_every_level() {
    let operands = operands(&[0xc8, 0x10, 0, 31]); // enter 16, 31
    let reads = operands.iter().filter(|reference| reference.touch == Touch::Read).count();
    assert_eq!((reads, operands.len() - reads), (30, 32), "rbp, thirty frames, the new frame");
}

#[test]
fn a_path_of_many_operands_is_cut() {
    let translation = translated(&[0xc8, 0x10, 0, 31].repeat(40), Mode::Simulation);
    assert!(translation.ops.len() <= OPS_MAX + 65);
    assert_eq!(translation.links.len(), 1);
}

#[test]
fn a_pop_into_memory_is_based_on_the_stack_pointer_after_it() {
    let operands = operands(&[0x8f, 0x44, 0x24, 0x08]); // pop [rsp + 8]
    let target = operands.iter().find(|reference| reference.touch == Touch::Write).expect("it writes");
    assert_eq!(reference::address(target, &[0x1000], FS_BASE), 0x1010);
}

#[test]
fn a_table_that_al_looks_up_is_known_by_its_start() {
    let translation = translated(&[0xd7], Mode::Simulation); // xlat
    assert!(translation.exits.iter().all(|exit| exit.approximate));
    let Some(Op::Touch(table)) = translation.ops.last() else { panic!("it reads memory") };
    assert_eq!(reference::address(table, &[0x1000], FS_BASE), 0x1000);
}

/// Are the flags dead at the head of `bytes`?
#[track_caller]
fn check_dead(bytes: &[u8], expected: bool) {
    let path = trace_path(&Bytes(bytes), AT, block::SHORT, |_, _| false).expect("there is code");
    assert_eq!(flags_are_dead(&path), expected);
}

#[test]
fn flags_that_are_undefined_are_not_dead() {
    check_dead(&[0x0f, 0xbd, 0xc1], false); // bsr eax, ecx
    check_dead(&[0x0f, 0xbd, 0xc1, 0x39, 0xc8], true); // bsr eax, ecx; cmp eax, ecx
    check_dead(&[0x85, 0xc0], true); // test eax, eax
    check_dead(&[0xd3, 0xe0], false); // shl eax, cl
}

/// A repeat of these bytes, before and after which `rcx`, `rsi` and `rdi` are `slots`, goes so far.
#[track_caller]
fn check_repeat(bytes: &[u8], slots: [u64; 6], expected: reference::Extent) {
    let translation = translated(bytes, Mode::Simulation);
    let Some(Op::Repeat(repeat)) = translation.ops.last() else { panic!("it repeats") };
    assert_eq!(reference::extent(repeat, &slots, FS_BASE), expected);
}

#[test]
fn a_repeat_with_addresses_of_32_bits_counts_ecx() {
    check_repeat(
        &[0x67, 0xf3, 0xa5], // rep movsd [edi], [esi]
        [0x100_0000_0003, 0x1_0000_1000, 0x2000, 0, 0x100c, 0x200c],
        reference::Extent { iterations: 3, bytes: 12, source: 0x1000, target: 0x2000 },
    );
}

#[test]
fn the_counts_of_a_repeat_with_addresses_of_32_bits_leave_rcx_alone() {
    let code = translated(&[0x67, 0xf3, 0xa4], Mode::Counts).code;
    let clears = code.windows(2).filter(|window| *window == [0x89, 0xc9]).count(); // mov ecx, ecx
    let mut restore = Assembler::new(0);
    restore.load_gs(RCX, at::SPILL);
    let restores = code.windows(restore.bytes.len()).filter(|window| *window == restore.bytes).count();
    assert_eq!((clears, restores), (2, 2));
}

#[test]
fn a_repeat_reads_its_source_through_fs() {
    check_repeat(
        &[0x64, 0xf3, 0xa4], // rep movsb [rdi], fs:[rsi]
        [2, 0x10, 0x2000, 0, 0x12, 0x2002],
        reference::Extent { iterations: 2, bytes: 2, source: FS_BASE + 0x10, target: 0x2000 },
    );
}

#[test]
fn a_repeat_downwards_starts_at_its_last_element() {
    check_repeat(
        &[0xf3, 0x48, 0xab], // rep stosq, with the direction flag set
        [2, 0, 0x2008, 0, 0, 0x1ff8],
        reference::Extent { iterations: 2, bytes: 16, source: 0, target: 0x2000 },
    );
}

/// dec ecx; jnz to the first instruction; ret
const LOOP: [u8; 5] = [0xff, 0xc9, 0x75, 0xfc, 0xc3];

/// The loop, its branches followed as `is_taken` says, in counts-only mode.
fn looped(is_taken: impl Fn(usize, u64) -> bool) -> (block::Path, Translation) {
    let path = trace_path(&Bytes(&LOOP), AT, block::LONG, is_taken).expect("there is code");
    let numbers = Numbers { block: 0, exit: 0, link: 0, site: 0 };
    let translation =
        translate(&path, ORIGIN, numbers, Options { mode: Mode::Counts, rorx: true, scheduled: false }, None);
    (path, translation)
}

#[test]
fn a_loop_is_unrolled_and_left_where_the_branch_is_not_taken() {
    let (path, translation) = looped(|_, _| true);
    assert_eq!((path.steps.len(), path.taken), (2 * block::LONG.visits, 0b111));
    assert_eq!(path.end, block::End::Direct { target: AT });
    let counted: Vec<(u8, u8)> =
        translation.exits.iter().map(|exit| (exit.instructions, exit.branches)).collect();
    // Left after one, two or three turns the last branch was not taken; behind the third it was.
    assert_eq!(counted, [(2, 0), (4, 1), (6, 2), (6, 3)]);
    let left = Some(Turn { at: AT + 2, taken: false });
    assert_eq!(translation.turns, [left, left, left, None]);
    let targets: Vec<u64> = translation.links.iter().map(|link| link.target).collect();
    assert_eq!(targets, [AT, AT + 4, AT + 4, AT + 4]);
    let conditions = Decoder::with_ip(64, &translation.code, ORIGIN, DecoderOptions::NONE)
        .into_iter()
        .map(|instruction| instruction.mnemonic())
        .filter(|mnemonic| matches!(mnemonic, Mnemonic::Je | Mnemonic::Jne));
    assert!(conditions.eq([Mnemonic::Je; 3]));
}

#[test]
fn a_branch_that_is_followed_straight_on_is_left_where_it_is_taken() {
    let (path, translation) = looped(|_, _| false);
    assert_eq!((path.steps.len(), path.taken), (3, 0));
    assert_eq!(translation.turns, [Some(Turn { at: AT + 2, taken: true }), None]);
    assert_eq!(translation.exits.iter().map(|exit| exit.branches).collect::<Vec<_>>(), [1, 1]);
}

/// What a record tells of a frame's position, if the path has stored one at 0x38.
fn placed(bytes: &[u8]) -> (Option<Placed>, u8) {
    let path = trace_path(&Bytes(bytes), AT, block::SHORT, |_, _| false).expect("there is code");
    let numbers = Numbers { block: 0, exit: 0, link: 0, site: 0 };
    let (position, code) = (Some(Member { offset: 0x38, bytes: 8 }), (AT, AT + 0x1000));
    let watch = Watch { code, word: 0, offset: 0x100, through: None, executed: 0, owner: None, position };
    let options = Options { mode: Mode::Simulation, rorx: true, scheduled: false };
    let translation = translate(&path, ORIGIN, numbers, options, Some(watch));
    (translation.placed, translation.exits.last().expect("there is a way out").instructions)
}

#[test]
fn a_path_ends_where_a_position_is_stored_and_tells_whose_it_is() {
    // lea r10, [r15 + 2]; mov [rbp + 0x38], r10; nop; ret
    let (placed, instructions) = placed(&[0x4d, 0x8d, 0x57, 2, 0x4c, 0x89, 0x55, 0x38, 0x90, 0xc3]);
    let Some(Placed { frame, position }) = placed else { panic!("it is one") };
    assert_eq!((frame, instructions), (Told { slot: 0, constant: 0 }, 2));
    // What is in a register at the store, whatever it was made of.
    assert_eq!(position, Told { slot: 1, constant: 0 });
}

#[test]
fn a_path_goes_on_behind_a_store_unless_that_has_changed_what_is_watched() {
    // mov [rbp + 0x38], rsi; nop; ret
    let code = [0x48, 0x89, 0x75, 0x38, 0x90, 0xc3];
    let path = trace_path(&Bytes(&code), AT, block::SHORT, |_, _| false).expect("there is code");
    let numbers = Numbers { block: 0, exit: 0, link: 0, site: 0 };
    let code = (AT, AT + 0x1000);
    let watch = Watch {
        code,
        word: 0x5000,
        offset: 0x38,
        through: None,
        executed: 0x20,
        owner: Some(0x48),
        position: None,
    };
    let options = Options { mode: Mode::Simulation, rorx: true, scheduled: false };
    let translation = translate(&path, ORIGIN, numbers, options, Some(watch));
    let ways: Vec<(u8, u8)> = translation.exits.iter().map(|exit| (exit.instructions, exit.slots)).collect();
    // Whose frame, code and owner are in the record, and the address of the store; and that of the return's.
    assert_eq!(ways, [(1, 4), (3, 2)]);
    assert_eq!(translation.watched, [(0, 1)]);
    assert_eq!(translation.links[0].target, AT + 4, "where it goes on");
}

#[test]
fn the_address_of_a_jump_is_no_position_where_code_is_executed() {
    // lea rdx, [rax + rdx * 2]; mov rax, rcx; mov [rbp + 0x38], rdx; ret
    let resumes = [0x48, 0x8d, 0x14, 0x50, 0x48, 0x89, 0xc8, 0x48, 0x89, 0x55, 0x38, 0xc3];
    assert_eq!(placed(&resumes), (None, 4));
    // lea rdx, [rax + rdx * 2]; mov rdx, rcx; mov [rbp + 0x38], rdx; ret
    let another = [0x48, 0x8d, 0x14, 0x50, 0x48, 0x89, 0xca, 0x48, 0x89, 0x55, 0x38, 0xc3];
    assert_eq!(placed(&another).1, 3);
}

#[test]
fn the_guests_r11_can_be_a_position_and_a_frame() {
    // mov [rbp + 0x38], r11; ret
    let translation = placed(&[0x4c, 0x89, 0x5d, 0x38, 0xc3]);
    assert_eq!(translation.0.unwrap().position, Told { slot: 1, constant: 0 });
    // mov [r11 + 0x38], rax; ret
    let translation = placed(&[0x49, 0x89, 0x43, 0x38, 0xc3]);
    assert_eq!(translation.0.unwrap().frame, Told { slot: 0, constant: 0 });
}
