BB0:
	s_load_b128 s[4:7], s[2:3], null                            ; f4080101 f8000000
	s_cbranch_execz BB11                                        ; bfa50050
BB1:
	s_buffer_load_b512 s[16:31], s[4:7], 0x0                    ; f4300402 f8000000
	s_nop 0                                                     ; bf800000
	(then repeated 2 times)
BB2:
	s_cmp_ge_u32 s0, s4                                         ; bf090400
	s_cbranch_scc1 BB6                                          ; bfa20017
BB5:
	buffer_load_b128 v[4:7], v1, s[8:11], 0 offen               ; e05c0000 80420401
(invalid instruction)                                        ; f4301720
	ds_load_b64 v[20:21], v12                                   ; d9d80000 1400000c
	s_delay_alu instid0(VALU_DEP_1) | instskip(NEXT) | instid1(VALU_DEP_2) ; bf870111
	v_dual_fmac_f32 v8, v1, v4 :: v_dual_mul_f32 v9, v2, v5     ; c8060901 08080b02
	v_dual_fmac_f32 v10, v1, v6 :: v_dual_fmac_f32 v11, v2, v7  ; c8000d01 0a0a0f02
	v_fmac_f32_e32 v8, s4, v2                                   ; 56020404
	v_fma_f32 v8, v1, v4, v8                                    ; d6130008 04220901
	v_pk_fma_f32 v[8:9], v[1:2], v[4:5], v[8:9]                 ; d3b04008 1c220901
	v_add_f32_e64 v2, v2, v3                                    ; d5030002 00020702
	v_add_nc_u32_e32 v4, 1, v2                                  ; 4a080481
	v_cvt_f32_u32_e32 v1, s8                                    ; 7e020c08
	s_branch BB2                                                ; bfa0ffe6
BB6:
	v_mac_f32_e32 v2, s6, v3                                    ; 2c040606
	v_mac_f32_e32 v3, s6, v3                                    ; 2c040606
	s_cbranch_scc1 BB6                                          ; bf85fffc
BB7:
	s_cbranch_scc1 BB1                                          ; bf85ffe0
BB11:
	s_endpgm                                                    ; bfb00000
	s_code_end                                                  ; bf9f0000
	(then repeated 47 times)
